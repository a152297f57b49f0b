"""Finished engines: on the golden clip beside what their own graphs gave, on random clips and impulses beside PyTorch.

An engine is run by the session that a deployment uses, and on the golden clip by Polygraphy's runner as well, which
shares no line with it: where both are off, it is the engine; where one is, it is the session.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx

from x3ddeploy.bundle import Bundle
from x3ddeploy.bundle.engine_options import Batches, Flavour
from x3ddeploy.child_process import Request
from x3ddeploy.contract import OutputKind
from x3ddeploy.errors import BundleError, GateError
from x3ddeploy.modalities.synthetic import raw_inputs
from x3ddeploy.parity.gates import ENGINE_FLOAT32_FLOOR, ENGINE_LOWER_FLOOR, Float32Gate, lower_tolerance
from x3ddeploy.parity.golden import AMONG_OTHERS, among_others, load_golden
from x3ddeploy.parity.metrics import Difference, Spread, compare_output
from x3ddeploy.progress import Step
from x3ddeploy.runtimes.base import Array, Session
from x3ddeploy.tensorrt.cuda import Cuda
from x3ddeploy.tensorrt.trt import open_tensorrt
from x3ddeploy.terms import Precision

CHECK = f"{__name__}:check"
GOLDEN = "golden clip"
# Off the golden clip there are no outputs of the graph itself, and what FP16 costs against PyTorch is allowed: half a
# percent of the logits' range is what deployments are promised; features and probabilities are held to what half-typed
# graphs themselves are. What INT8 costs differs from clip to clip: only the class is judged there, by a margin of twice
# what INT8 costs on the golden clip.
_FP16_LOGITS, _FP16_OTHERS = 5e-3, 1e-2
_BF16_FACTOR = 8  # it keeps 7 bits of the mantissa, where float16 keeps 10
_INT8_FACTOR, _INT8_SLACK = 2.0, 5e-3
# Two logits that are each off by the tolerance change places where they are closer than twice that.
_MARGIN_FACTOR = 2.0

Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class CheckRequest:
    """Plans that are not in the bundle yet, or are.

    Attributes:
        bundle: its directory.
        part: whose inputs and outputs they have; 'recognizer' for the parts together; or a preprocessing graph.
        waves: paths of plans, as the session runs them.
        precision: precision of the plans.
        batches: their profile.
        flavour: what built them.
    """

    bundle: str
    part: str
    waves: tuple[tuple[str, ...], ...]
    precision: Precision
    batches: Batches
    flavour: Flavour


@dataclass(frozen=True)
class CheckRow:
    """One output on one case.

    Attributes:
        runner: 'session' or 'polygraphy'.
        tolerance: largest relative difference, or the largest of each measure; None where it is reported alone.
        flips: clips whose class changed though PyTorch's first two logits are further apart than `margin`.
        margin: allowed distance in the logits' own unit; 0 for tensors that are no logits.
    """

    runner: str
    case: str
    batch: int
    output: str
    difference: Difference
    tolerance: float | Spread | None
    flips: int
    margin: float

    @property
    def passed(self) -> bool:
        within = self.tolerance is None or self.difference.within(self.tolerance)
        return self.difference.finite and within and self.flips == 0

    def describe(self) -> str:
        """One line for an error message."""
        where = f"{self.output}, {self.case}, batch {self.batch}, {self.runner}"
        if not self.difference.finite:
            return f"{where}: NaN or infinity"
        flips = f", {self.flips} clips change their class by more than {self.margin:.2g}" if self.flips else ""
        return f"{where}: {_describe(self.difference, self.tolerance)}{flips}"


@dataclass(frozen=True)
class CheckResult:
    """All rows, and what was not compared."""

    rows: tuple[CheckRow, ...]
    notes: tuple[str, ...]

    @property
    def failures(self) -> list[CheckRow]:
        return [row for row in self.rows if not row.passed]

    def raise_for_failures(self, what: str, details: tuple[str, ...] = ()) -> None:
        """Raise GateError that names the rows outside their tolerance, or says that there was none."""
        if not self.rows:
            raise GateError(f"{what}: nothing was compared", details=self.notes, hint="the engine was not kept")
        if self.failures:
            raise GateError(
                f"{what}: {len(self.failures)} of {len(self.rows)} comparisons with golden outputs and PyTorch fail",
                details=[*(row.describe() for row in self.failures[:12]), *details],
                hint="the engine was not kept",
            )


def check(request: Request, progress: Step) -> Any:
    """The child's task. Request: CheckRequest; result: CheckResult."""
    wanted = msgspec.convert(request, CheckRequest)
    # Here, and not above: the session's module is for machines with a GPU.
    from x3ddeploy.runtimes.tensorrt_session import session_of_plans

    bundle = Bundle.open(Path(wanted.bundle))
    plans = [[Path(plan).read_bytes() for plan in wave] for wave in wanted.waves]
    session = session_of_plans(Cuda(), open_tensorrt(wanted.flavour, _log), plans, host_code=True)
    progress("running the engine on golden and random clips")
    result = compare_session(bundle, wanted, session)
    if len(plans) == 1 and len(plans[0]) == 1:
        rows, notes = _polygraphy(bundle, wanted, plans[0][0])
        result = CheckResult((*result.rows, *rows), (*result.notes, *notes))
    return msgspec.to_builtins(result)


def compare_session(bundle: Bundle, wanted: CheckRequest, session: Session) -> CheckResult:
    """Run a session on every case that its profile holds."""
    tolerances = _Tolerances(bundle, wanted)
    names = tuple(bundle.manifest.tensors[wanted.part]["inputs"])
    rows: list[CheckRow] = []
    notes: list[str] = []

    def holds(feeds: Arrays) -> bool:
        return wanted.batches.minimum <= len(feeds[names[0]]) <= wanted.batches.maximum

    is_part = wanted.part in bundle.contract.parts
    for case, arrays in _cases(bundle, wanted.precision.value, notes) if is_part else _raw_cases(bundle):
        feeds = {name: arrays[name] for name in names}
        if not holds(feeds):
            continue
        # The first run is plain, the second records a CUDA graph and launches it, the third replays it.
        for repeat in ("", ", recorded", ", replayed"):
            outputs = session.run(feeds)
            rows += tolerances.rows("session", f"{case}{repeat}", len(feeds[names[0]]), arrays, outputs)
    golden = load_golden(bundle, wanted.precision.value)
    feeds = among_others({name: golden[name] for name in names})
    if bundle.manifest.batch is None and holds(feeds):
        outputs = {name: value[AMONG_OTHERS] for name, value in session.run(feeds).items()}
        rows += tolerances.rows("session", f"{GOLDEN}, among others", len(feeds[names[0]]), golden, outputs)
    return CheckResult(tuple(rows), tuple(notes))


def _polygraphy(bundle: Bundle, wanted: CheckRequest, plan: bytes) -> tuple[list[CheckRow], list[str]]:
    golden = load_golden(bundle, wanted.precision.value)
    feeds = {name: golden[name] for name in bundle.manifest.tensors[wanted.part]["inputs"]}
    batch = len(next(iter(feeds.values())))
    try:
        from polygraphy import config

        config.USE_TENSORRT_RTX = wanted.flavour is Flavour.RTX  # read when its backend is imported
        from polygraphy.backend.trt import EngineFromBytes, TrtRunner

        with TrtRunner(EngineFromBytes(plan)) as runner:
            outputs = {name: np.array(value) for name, value in runner.infer(feeds).items()}
    except ImportError as error:
        return [], [f"not run by Polygraphy: {error}"]
    except Exception as error:  # it wants libcudart, which a machine with the driver alone does not have
        return [], [f"not run by Polygraphy: {str(error).splitlines()[0]}"]
    return _Tolerances(bundle, wanted).rows("polygraphy", GOLDEN, batch, golden, outputs), []


def _cases(bundle: Bundle, precision: str, notes: list[str]) -> Iterator[tuple[str, dict[str, Array]]]:
    """Name of each case, its inputs, and the expected outputs: the graphs' own on the golden clip, else PyTorch's."""
    yield GOLDEN, load_golden(bundle, precision)
    try:
        from x3ddeploy.loading import restore_network
        from x3ddeploy.parity.compare import cases
        from x3ddeploy.parity.reference import Reference, single
    except ModuleNotFoundError as error:
        notes.append(f"random clips and impulses were not compared: {error}")
        return
    network = restore_network(onnx.load(bundle.part_path("recognizer")))
    reference = Reference(network)
    for case in cases(bundle.contract.inputs, bundle.manifest.batch):
        yield case.name, {**case.inputs, **single(reference.outputs(case.inputs))}


def _raw_cases(bundle: Bundle) -> Iterator[tuple[str, dict[str, Array]]]:
    """Cases for preprocessing graphs: frames and keypoints, and what the host's own preparation makes of them."""
    yield GOLDEN, load_golden(bundle)
    yield "clips", raw_inputs(bundle.contract.inputs, bundle.manifest.batch or 3, seed=1)


class _Tolerances:
    """What each output of a part is held to."""

    def __init__(self, bundle: Bundle, wanted: CheckRequest) -> None:
        self._part, self._precision, self._manifest = wanted.part, wanted.precision, bundle.manifest
        self._outputs = tuple(bundle.manifest.tensors[wanted.part]["outputs"])
        self._kinds = {name: output.kind for name, output in bundle.contract.outputs.items()}
        made = bundle.manifest.precisions.get(wanted.precision.value)
        if wanted.precision is not Precision.FP32 and (made is None or not made.rounding):
            raise BundleError(
                f"{bundle.path} has no golden outputs of its own {wanted.precision.value} graphs",
                hint=f"it is of an older version: `x3ddeploy quantize --{wanted.precision.value}` makes them",
            )
        self._made = made

    def rows(self, runner: str, case: str, batch: int, expected: Arrays, outputs: Arrays) -> list[CheckRow]:
        missing = [name for name in self._outputs if name not in outputs]
        if missing:
            raise GateError(
                f"the engine of {self._part} lacks outputs", details=missing, hint="the engine was not kept"
            )
        return [self._row(runner, case, batch, name, expected[name], outputs[name]) for name in self._outputs]

    def _row(self, runner: str, case: str, batch: int, name: str, expected: Array, actual: Array) -> CheckRow:
        difference = compare_output(name, expected, actual.astype(np.float32))
        tolerance = self._tolerance(name, case.startswith(GOLDEN))
        margin, flips = 0.0, 0
        if self._kinds.get(name) is OutputKind.LOGITS and difference.finite:
            relative = tolerance.relative if isinstance(tolerance, Spread) else tolerance
            margin = _MARGIN_FACTOR * relative * float(np.abs(expected).max())
            flips = _flips(expected, actual, margin)
        is_gated = self._precision is not Precision.INT8 or isinstance(tolerance, Spread)
        return CheckRow(runner, case, batch, name, difference, tolerance if is_gated else None, flips, margin)

    def _tolerance(self, output: str, is_golden: bool) -> float | Spread:
        label = f"{self._part} -> {output}"
        if self._made is None:
            return max(Float32Gate(self._manifest.rounding).tolerance(self._part, output), ENGINE_FLOAT32_FLOOR)
        if is_golden:
            return lower_tolerance(self._made, label, ENGINE_LOWER_FLOOR)
        if self._precision in (Precision.FP16, Precision.BF16):
            factor = _BF16_FACTOR if self._precision is Precision.BF16 else 1
            return factor * (_FP16_LOGITS if self._kinds[output] is OutputKind.LOGITS else _FP16_OTHERS)
        return _INT8_FACTOR * self._made.golden_error.get(label, 0.0) + _INT8_SLACK


def _describe(difference: Difference, tolerance: float | Spread | None) -> str:
    """Every measure that is judged, beside what it may be at most."""
    if not isinstance(tolerance, Spread):
        return f"relative error {difference.relative:.2e}" + ("" if tolerance is None else f", at most {tolerance:g}")
    measures = {name: (getattr(difference, name), getattr(tolerance, name)) for name in ("relative", "rms", "channels")}
    return ", ".join(f"{name} {value:.2e}, at most {most:.1e}" for name, (value, most) in measures.items())


def _flips(expected: Array, actual: Array, margin: float) -> int:
    """Clips whose class changed though the reference's first two logits are further apart than `margin`."""
    ordered = np.sort(expected.astype(np.float64), 1)
    is_clear = ordered[:, -1] - ordered[:, -2] > margin if ordered.shape[1] > 1 else np.zeros(len(ordered), bool)
    return int((is_clear & (expected.argmax(1) != actual.argmax(1))).sum())


def _log(severity: str, message: str) -> None:
    sys.stderr.write(f"[{severity}] {message}\n")
