"""From a bundle to engines in it: graphs, build, proof of precision, proof of parity, and only then the manifest."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from x3ddeploy import __version__
from x3ddeploy.atomic import explain_os_errors
from x3ddeploy.bundle import Bundle, EngineEntry, add_engine
from x3ddeploy.bundle.engine_options import BuildOptions
from x3ddeploy.bundle.paths import graph_name
from x3ddeploy.child_process import run_in_child
from x3ddeploy.contract import WHOLE, Contract
from x3ddeploy.engines.bisect import BISECT, BisectRequest
from x3ddeploy.engines.check import CHECK, CheckRequest, CheckResult
from x3ddeploy.engines.document import EngineReport, EnginesReport, MadeEngine, built_entry, checked
from x3ddeploy.engines.graphs import CalibrationClips, with_graphs
from x3ddeploy.engines.worker import BUILD, BuildRequest, BuildResult
from x3ddeploy.errors import UsageError, X3DDeployError
from x3ddeploy.parity.golden import load_golden
from x3ddeploy.places import require_place
from x3ddeploy.progress import Step
from x3ddeploy.tensorrt.place import Host, plan_name
from x3ddeploy.terms import Precision

TIMING_CACHE = "timing.cache"
_BISECT_TOLERANCE = 2e-2  # a block that is off by twice what a whole half-typed backbone may be
_QUIET_S = 5.0  # between two lines about the phases of one build


@dataclass(frozen=True)
class EngineRequest:
    """What to build.

    Attributes:
        options: how.
        parts: parts of the contract, and preprocessing graphs; these have float32 engines whatever the precision is.
        calib: clips for INT8 graphs, where the bundle has none.
        timing_cache: file; None for the one in the bundle.
        command: as it was typed, for the report beside each engine.
    """

    options: BuildOptions
    parts: tuple[str, ...]
    calib: CalibrationClips
    timing_cache: Path | None
    command: str


@dataclass(frozen=True)
class StoredEngine:
    """One engine in the bundle.

    Attributes:
        name: name of the plan.
        entry: as the manifest has it.
        built: the build, and what the engine computes in.
        check: against PyTorch; None where it could not be run.
        unproven: what could not be shown here, in words.
    """

    name: str
    entry: EngineEntry
    built: BuildResult
    check: CheckResult | None
    unproven: tuple[str, ...]


@dataclass(frozen=True)
class Engines:
    """A finished run.

    Attributes:
        together: the check of the pieces as a deployment runs them; None where that could not be.
    """

    bundle: Bundle
    host: Host
    made: tuple[StoredEngine, ...]
    together: CheckResult | None

    @property
    def pieces(self) -> str:
        """The pieces that run as one, in words."""
        return together(self.bundle.contract)

    def document(self) -> EnginesReport:
        """For `--json`."""
        engines = tuple(MadeEngine(**_described(made)) for made in self.made)
        return EnginesReport(1, str(self.bundle.path), self.host, engines, checked(self.together))


def build_engines(bundle: Bundle, host: Host, request: EngineRequest, progress: Step) -> Engines:
    """Build engines into a bundle, each only when it is proven to be what was asked for, as far as that can be here.

    Args:
        bundle: whole (`require_whole`), and such that graphs of the precision are there or can be made
            (`require_graphs`): both are asked before the machine is.
        host: what they are built with and on.
        request: what to build.
        progress: receives the steps.

    Raises:
        GateError: an engine computes in another precision, or something else than PyTorch; those before it stay.
        X3DDeployError: TensorRT refuses a graph or dies; the error has its log.
    """
    require_place(bundle.path, sum(bundle.part_path(part).stat().st_size for part in request.parts))
    bundle = with_graphs(
        bundle, request.options.precision, request.calib, opset17=not host.strongly_typed, progress=progress
    )
    return _Run(bundle, host, request, progress).run()


class _Run:
    def __init__(self, bundle: Bundle, host: Host, request: EngineRequest, progress: Step) -> None:
        self._bundle, self._host, self._request, self._progress = bundle, host, request, progress
        self._options = request.options
        capabilities = self._options.compute_capabilities
        # An engine for GPUs that are not here can be built, and neither loaded nor run.
        self._runs_here = host.gpu is not None and (not capabilities or host.compute_capability in capabilities)

    def run(self) -> Engines:
        made = []
        with tempfile.TemporaryDirectory(prefix="x3ddeploy-") as directory:
            plans = {part: Path(directory) / f"{part}.plan" for part in self._request.parts}
            for part, plan in plans.items():
                made.append(self._make(part, plan))
            together = self._check_together(plans)
        return Engines(self._bundle, self._host, tuple(made), together)

    def _make(self, part: str, plan: Path) -> StoredEngine:
        options = self._options_of(part)
        precision = options.precision
        what = f"{part}.{precision.value}"
        entry = self._entry(part, options)
        name = plan_name(entry)
        graph = self._bundle.part_path(part, precision.value)
        quantized = self._bundle.manifest.precisions.get(precision.value)
        with self._timing_cache(self._bundle.path / name) as cache:
            self._progress(f"building {what} with {self._host.flavour.title} {self._host.version}")
            request = BuildRequest(
                graph=str(graph),
                plan=str(plan),
                options=options,
                float_layers=quantized.float_layers if quantized else {},
                timing_cache=str(cache) if cache else None,
                keep_cache=self._request.timing_cache is not None,
                load=self._runs_here,
            )
            reply = run_in_child(BUILD, msgspec.to_builtins(request), f"building {what}", _Quiet(self._progress))
            built = msgspec.convert(reply, BuildResult)
            built.precision.raise_if_not_as_asked(precision)
            check = self._check(part, ((str(plan),),), what, options)
            if check and check.failures:
                check.raise_for_failures(what, self._diverging(part, graph))
            made = StoredEngine(name, entry, built, check, self._unproven(built, check))
            report = msgspec.json.format(msgspec.json.encode(self._report(made)), indent=2)
            self._bundle = add_engine(self._bundle.path, name, entry, plan.read_bytes(), report)
        self._progress(f"{name}: {built.size_bytes / 1e6:.1f} MB in {built.seconds:.1f} s")
        return made

    def _options_of(self, part: str) -> BuildOptions:
        """How a graph is built: frames and keypoints are prepared in float32."""
        is_part = part in self._bundle.contract.parts
        return self._options if is_part else replace(self._options, precision=Precision.FP32)

    def _entry(self, part: str, options: BuildOptions) -> EngineEntry:
        graph = graph_name(part, options.precision.value)
        host = self._host
        return EngineEntry(
            part=part,
            graph_sha256=self._bundle.manifest.files[graph].sha256,
            version=host.version,
            gpu=host.gpu if not self._options.compute_capabilities else None,
            compute_capabilities=self._options.compute_capabilities or (host.compute_capability or "",),
            driver=host.driver,
            options=options,
        )

    @contextlib.contextmanager
    def _timing_cache(self, plan: Path) -> Iterator[Path | None]:
        """The cache's path; a directory that was made for it goes again where nothing came to lie in it."""
        if not self._runs_here:
            yield None  # kernels are not timed on a GPU that is not here
            return
        cache = self._request.timing_cache or plan.parent / TIMING_CACHE
        with explain_os_errors(cache):
            cache.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield cache
        finally:
            for directory in (cache.parent, cache.parent.parent) if not self._request.timing_cache else ():
                with contextlib.suppress(OSError):
                    directory.rmdir()

    def _check(
        self, part: str, waves: tuple[tuple[str, ...], ...], what: str, options: BuildOptions
    ) -> CheckResult | None:
        if not self._runs_here:
            return None
        request = CheckRequest(str(self._bundle.path), part, waves, options.precision, options.batches, options.flavour)
        reply = run_in_child(CHECK, msgspec.to_builtins(request), f"running {what}", self._progress)
        return msgspec.convert(reply, CheckResult)

    def _check_together(self, plans: dict[str, Path]) -> CheckResult | None:
        """The pieces as a deployment runs them, wave by wave; None where some are missing, or there is one alone."""
        contract = self._bundle.contract
        if contract.pieces == (WHOLE,) or not plans.keys() >= set(contract.pieces):
            return None
        waves = tuple(tuple(str(plans[part]) for part in wave) for wave in contract.waves)
        what = together(contract)
        check = self._check(WHOLE, waves, what, self._options)
        if check is not None:
            check.raise_for_failures(what)
        return check

    def _diverging(self, part: str, graph: Path) -> tuple[str, ...]:
        """The first wrong block, as a detail of the error; what goes wrong on the way does not hide the error."""
        if part != WHOLE and part not in self._bundle.contract.backbones:
            return ()
        golden = load_golden(self._bundle)
        with tempfile.TemporaryDirectory(prefix="x3ddeploy-") as directory:
            inputs = Path(directory) / "inputs.npz"
            arrays: dict[str, Any] = {name: golden[name] for name in self._bundle.manifest.tensors[part]["inputs"]}
            np.savez(inputs, **arrays)
            request = BisectRequest(
                graph=str(graph),
                reference=str(self._bundle.part_path(part)),
                inputs=str(inputs),
                options=self._options,
                tolerance=_BISECT_TOLERANCE,
            )
            try:
                block = run_in_child(BISECT, msgspec.to_builtins(request), "bisection", self._progress)
            except X3DDeployError as error:
                return (f"which block it is could not be found: {error.message}",)
        found = f"first diverging block: {block}" if block else "every block is right: what comes after is to blame"
        return (found,)

    def _unproven(self, built: BuildResult, check: CheckResult | None) -> tuple[str, ...]:
        lines: list[str] = []
        if wider := built.precision.seen_wider:
            lines.append(
                f"precision: the network's types bind the builder, and yet the engine inspector shows {len(wider)} of "
                f"{len(built.precision.layers)} layers in a wider type, {wider[0].node} in {wider[0].seen} first"
            )
        if check is None:
            gpus = ", ".join(self._options.compute_capabilities)
            lines += [
                f"not run: there is no GPU of compute capability {gpus} here, so parity with PyTorch is not proven",
                "not loaded: the types of the parsed network bind the builder, and which kernels and reformats it "
                "chose is not known",
            ]
        else:
            lines += check.notes
        quantized = self._bundle.manifest.precisions.get(Precision.INT8.value)
        if self._options.precision is Precision.INT8 and quantized:
            if quantized.random_calibration:
                lines.append("accuracy: the INT8 ranges are of made-up clips; do not deploy this")
            elif quantized.accuracy is None:
                lines.append("accuracy: quantize had no clips to judge INT8 with")
        return tuple(lines)

    def _report(self, made: StoredEngine) -> EngineReport:
        return EngineReport(
            schema_version=1,
            x3ddeploy=__version__,
            command=self._request.command,
            built_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            **_described(made),
        )


class _Quiet:
    """Lets one line every few seconds through: a build has thousands of phases."""

    def __init__(self, progress: Step) -> None:
        self._progress, self._last = progress, time.monotonic()

    def __call__(self, text: str) -> None:
        if time.monotonic() - self._last >= _QUIET_S:
            self._last = time.monotonic()
            self._progress(f"  {text}")


def together(contract: Contract) -> str:
    """The pieces that run as one, in words."""
    return " + ".join(contract.pieces)


def parts_named(graphs: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The graphs of a bundle that have these names, in their order. Raises UsageError for one that is none."""
    unknown = [name for name in names if name not in graphs]
    if unknown:
        raise UsageError(f"no part named {unknown[0]!r}", hint=f"some of: {','.join(graphs)}")
    return tuple(graph for graph in graphs if graph in names)


def _described(made: StoredEngine) -> dict[str, Any]:
    return vars(made) | {"built": built_entry(made.built), "check": checked(made.check)}
