"""A finished bundle on the machine at hand: files against the manifest, parts against golden outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from x3ddeploy.bundle import GOLDEN, PARITY, Bundle
from x3ddeploy.bundle.check import require_whole
from x3ddeploy.bundle.golden_check import unchecked
from x3ddeploy.contract import WHOLE
from x3ddeploy.errors import BundleError, GateError
from x3ddeploy.files import TEXT_LIMIT, read_json
from x3ddeploy.loading import restore_network
from x3ddeploy.parity.blocks import compare_blocks
from x3ddeploy.parity.document import DifferenceEntry, ParityRule, difference_entry
from x3ddeploy.parity.gates import (
    ENGINE_FLOAT32_FLOOR,
    ENGINE_LOWER_FLOOR,
    LOWER_FLOOR,
    Float32Gate,
    lower_tolerance,
)
from x3ddeploy.parity.golden import AMONG_OTHERS, among_others, load_golden
from x3ddeploy.parity.metrics import Difference, Spread, compare_output
from x3ddeploy.precision.stored_graphs import require_stored_faithful
from x3ddeploy.progress import Step
from x3ddeploy.runtimes.base import Array
from x3ddeploy.runtimes.choice import Choice
from x3ddeploy.runtimes.registry import REFERENCE, RUNTIMES, Execution, open_part
from x3ddeploy.tensorrt.place import engines_of
from x3ddeploy.terms import Precision
from x3ddeploy.text import shell_word

Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Check:
    """One tensor on one runtime: 'head -> scores', or a block such as 'backbone/layer2.3'.

    Attributes:
        tolerance: largest relative error; of a lower precision, the largest of each measure.
    """

    runtime: str
    name: str
    difference: Difference
    tolerance: float | Spread

    @property
    def holds(self) -> bool:
        return self.difference.within(self.tolerance)


@dataclass(frozen=True)
class CheckEntry:
    """A Check as the report has it."""

    runtime: str
    name: str
    difference: DifferenceEntry
    tolerance: float | Spread


@dataclass(frozen=True)
class VerifyReport:
    """What `x3ddeploy verify --json` prints.

    Attributes:
        rule: what the float32 graphs are held to, in words.
        runtimes: with the device where it is not the default one.
        skipped: what was not verified, one line each with the reason.
    """

    schema_version: int
    bundle: str
    passed: bool
    rule: str
    runtimes: tuple[str, ...]
    skipped: tuple[str, ...]
    checks: tuple[CheckEntry, ...]


@dataclass(frozen=True)
class Verification:
    """What was compared, what was not and why.

    Attributes:
        rule: what the float32 graphs are held to, in words.
        executions: what the parts were run in.
        skipped: what was not verified, one line each with the reason.
    """

    bundle: Path
    rule: str
    executions: tuple[Execution, ...]
    checks: tuple[Check, ...]
    skipped: tuple[str, ...]
    file_count: int

    @property
    def runtimes(self) -> tuple[str, ...]:
        """Names of the runtimes, with the device where it is not the default one."""
        return tuple(dict.fromkeys(execution.place for execution in self.executions))

    @property
    def failures(self) -> list[Check]:
        return [check for check in self.checks if not check.holds]

    def document(self) -> VerifyReport:
        """For `--json`."""
        return VerifyReport(
            schema_version=1,
            bundle=str(self.bundle),
            passed=bool(self.checks) and not self.failures,
            rule=self.rule,
            runtimes=self.runtimes,
            skipped=self.skipped,
            checks=tuple(
                CheckEntry(check.runtime, check.name, difference_entry(check.difference), check.tolerance)
                for check in self.checks
            ),
        )

    def raise_for_failures(self) -> None:
        """Raise GateError that names every check outside the tolerance, or says that there was none."""
        if not self.checks:
            raise GateError("nothing was compared", details=list(self.skipped), hint="name another --runtime")
        if self.failures:
            raise GateError(
                f"{len(self.failures)} of {len(self.checks)} comparisons differ by more than their tolerance",
                details=[f"{check.runtime}: {check.name}" for check in self.failures[:12]],
                hint="--per-block shows where a backbone parts from the reference",
            )


def verify_bundle(
    bundle: Bundle, choice: Choice, per_block: bool, tolerance: float | None, progress: Step
) -> Verification:
    """Compare each part with the golden outputs, in every runtime and precision that was chosen.

    Args:
        bundle: an opened bundle.
        choice: what `x3ddeploy.runtimes.choice.choose` returned.
        per_block: also compare each backbone's blocks with the training-form network rebuilt from the weights.
        tolerance: largest relative error of the float32 graphs; None for what the export held them to.
        progress: receives each step.

    Raises:
        BundleError: the bundle is not what its manifest says.
        GateError: a graph of lower precision is something else than its float32 graph in that precision.
        MissingRequirementError: a runtime is not installed, or its device is not here.
    """
    require_whole(bundle)
    progress(f"{len(bundle.manifest.files)} files, graphs, labels and the golden clip are what the manifest says")
    for precision in bundle.manifest.precisions:
        require_stored_faithful(bundle, precision)
        progress(f"{precision}: every graph is its float32 graph in another type")
    gate = Float32Gate(bundle.manifest.rounding, _exported_tolerance(bundle) if tolerance is None else tolerance)
    skipped = [*unchecked(bundle), *choice.left_out]
    checks: list[Check] = []
    for execution in choice.executions:
        progress(f"running every part in {execution}")
        checks += _compare_outputs(bundle, execution, gate, skipped)
        is_graph = execution.runtime != REFERENCE.runtime and not RUNTIMES[execution.runtime].builds_engines
        if per_block and is_graph and execution.precision is Precision.FP32:
            progress(f"comparing block by block in {execution}")
            checks += _compare_blocks(bundle, execution, gate.explicit)
    files = len(bundle.manifest.files)
    return Verification(bundle.path, gate.describe(), choice.executions, tuple(checks), tuple(skipped), files)


def _compare_outputs(bundle: Bundle, execution: Execution, gate: Float32Gate, skipped: list[str]) -> Iterator[Check]:
    """Every part beside PyTorch's golden outputs; in a lower precision, beside what its own graphs gave when made."""
    precision = execution.precision
    made = bundle.manifest.precisions.get(precision)
    if made is not None and not made.rounding:
        skipped.append(
            f"{execution} (made by an older version, without golden outputs of its own graphs; "
            f"`x3ddeploy quantize {shell_word(bundle.path)} --{precision.value}` makes it anew)"
        )
        return
    # What GPUs compute in (TensorFloat-32, Winograd's transforms) is not in the measurements behind the other floors.
    is_cpu = execution.device == "cpu"
    golden = load_golden(bundle, precision)
    for part in _parts(bundle, execution, skipped):
        tensors = bundle.manifest.tensors[part]
        missing = [name for name in (*tensors["inputs"], *tensors["outputs"]) if name not in golden]
        if missing:
            raise BundleError(f"{bundle.path / GOLDEN} lacks tensors", details=missing, hint="export again")
        clips = fitted(bundle, execution, part, golden)
        with open_part(bundle, execution, part) as session:
            runs = [("", session.run({name: clips[name] for name in tensors["inputs"]}))]
            if bundle.manifest.batch is None and not RUNTIMES[execution.runtime].builds_engines:
                outputs = session.run(among_others({name: golden[name] for name in tensors["inputs"]}))
                runs.append((", among others", {name: value[AMONG_OTHERS] for name, value in outputs.items()}))
        for case, outputs in runs:
            for name in tensors["outputs"]:
                label = f"{part} -> {name}"
                if name not in outputs:
                    raise GateError(
                        f"{execution}: {part} has no output {name}",
                        hint="the graph was altered: export or quantize again",
                    )
                difference = compare_output(name, clips[name], outputs[name])
                allowed: float | Spread
                if made is None:
                    allowed = gate.tolerance(part, name)
                    if not is_cpu and gate.explicit is None:
                        allowed = max(allowed, ENGINE_FLOAT32_FLOOR)
                else:
                    allowed = lower_tolerance(made, label, LOWER_FLOOR if is_cpu else ENGINE_LOWER_FLOOR)
                place = label if made is None else f"{precision}: {label}"
                yield Check(execution.place, f"{place}{case}", difference, allowed)


def _parts(bundle: Bundle, execution: Execution, skipped: list[str]) -> Iterable[str]:
    """The parts that a runtime can run: those of the network, of float32 graphs and engines also the preprocessing."""
    network = bundle.contract.parts
    if RUNTIMES[execution.runtime].builds_engines:
        built = {entry.part for entry in engines_of(bundle, execution.runtime, execution.precision)}
        return [part for part in bundle.manifest.tensors if part in built or part == WHOLE]
    if execution.precision is not Precision.FP32:
        return network
    others = [part for part in bundle.manifest.tensors if part not in network]
    if execution.runtime == REFERENCE.runtime:
        skipped += [f"{execution.runtime}: {part} (it is no part of the network)" for part in others]
        return network
    return [*network, *others]


def fitted(bundle: Bundle, execution: Execution, part: str, golden: Arrays) -> Arrays:
    """The golden tensors in as many clips as an engine's profile takes; a graph takes them as they are."""
    if not RUNTIMES[execution.runtime].builds_engines:
        return golden
    engines = engines_of(bundle, execution.runtime, execution.precision)
    profiles = [entry.options.batches for entry in engines if part in (entry.part, WHOLE)]
    count = len(golden[next(iter(bundle.manifest.tensors[part]["inputs"]))])
    wanted = min(max(count, *(batches.minimum for batches in profiles)), *(batches.maximum for batches in profiles))
    rows = np.arange(wanted) % count
    return {name: value[rows] if len(value) == count else value for name, value in golden.items()}


def _compare_blocks(bundle: Bundle, execution: Execution, explicit: float | None) -> Iterator[Check]:
    golden = load_golden(bundle)
    network = restore_network(onnx.load(bundle.part_path(WHOLE)))
    for part in bundle.contract.backbones:
        path = bundle.part_path(part)
        inputs = {name: golden[name] for name in bundle.contract.parts[part].inputs}
        for row in compare_blocks(network, part, path, execution.runtime, inputs, execution.device):
            yield Check(execution.place, row.block, row.difference, row.tolerance(explicit))


def _exported_tolerance(bundle: Bundle) -> float | None:
    """What `export --verify-tol` said, or the one tolerance that bundles of older versions were held to."""
    try:
        return read_json(bundle.path / PARITY, ParityRule, TEXT_LIMIT).tolerance
    except (OSError, ValueError) as error:
        raise BundleError(f"cannot read {bundle.path / PARITY}: {error}", hint="give --verify-tol") from error
