"""A finished bundle on the machine at hand: files against the manifest, parts against golden outputs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import onnx

from x3ddeploy.bundle import GOLDEN, PARITY, Bundle
from x3ddeploy.bundle.check import require_whole
from x3ddeploy.errors import BundleError, GateError
from x3ddeploy.families.two_stream_x3d.restore import rebuild
from x3ddeploy.parity.blocks import compare_blocks
from x3ddeploy.parity.compare import PART_INPUTS
from x3ddeploy.parity.gates import Float32Gate, lower_tolerance
from x3ddeploy.parity.golden import load_golden
from x3ddeploy.parity.metrics import Difference, Spread, compare_output
from x3ddeploy.precision.stored import require_stored_faithful
from x3ddeploy.runtimes.base import Array
from x3ddeploy.runtimes.registry import RUNTIMES, open_session, require


@dataclass(frozen=True)
class Check:
    """One tensor on one runtime: 'head -> scores', or a block such as 'rgb_backbone/layer2.3'.

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
class Verification:
    """What was compared, what was not and why."""

    bundle: Path
    rule: str
    runtimes: tuple[str, ...]
    checks: tuple[Check, ...]
    skipped: tuple[str, ...]
    file_count: int

    @property
    def failures(self) -> list[Check]:
        return [check for check in self.checks if not check.holds]

    def to_json(self) -> dict[str, Any]:
        """For `--json`; an infinite error is null, with `finite` false beside it."""
        checks = msgspec.to_builtins(self.checks)
        for check in checks:
            if not check["difference"]["finite"]:
                check["difference"].update(max_abs=None, mean_abs=None, relative=None, rms=None, channels=None)
        return {
            "schema_version": 1,
            "bundle": str(self.bundle),
            "passed": bool(self.checks) and not self.failures,
            "rule": self.rule,
            "runtimes": self.runtimes,
            "skipped": self.skipped,
            "checks": checks,
        }

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
    bundle: Bundle,
    runtimes: tuple[str, ...],
    per_block: bool,
    tolerance: float | None,
    progress: Callable[[str], None],
) -> Verification:
    """Compare each part on each runtime with the golden outputs.

    Args:
        bundle: opened.
        runtimes: names in RUNTIMES; none means all that are installed.
        per_block: also compare each backbone's blocks with the training-form network rebuilt from the weights.
        tolerance: largest relative error of the float32 graphs; None for what the export held them to.
        progress: told about each step.

    Raises:
        BundleError: the bundle is not what its manifest says.
        GateError: a graph of lower precision is something else than its float32 graph in that precision.
        MissingRequirementError: a runtime that was asked for is not installed.
    """
    require_whole(bundle)
    progress(f"{len(bundle.manifest.files)} files, graphs, labels and the golden clip are what the manifest says")
    for precision in bundle.manifest.precisions:
        require_stored_faithful(bundle, precision)
        progress(f"{precision}: every graph is its float32 graph in another type")
    for runtime in runtimes:
        require(runtime)
    graphs = [runtime for runtime in RUNTIMES.values() if not runtime.builds_engines]
    chosen = runtimes or tuple(runtime.name for runtime in graphs if runtime.is_installed)
    absent = [] if runtimes else [runtime for runtime in graphs if runtime.name not in chosen]
    skipped = [f"{runtime.name}: not installed ({runtime.install})" for runtime in absent]
    gate = Float32Gate(bundle.manifest.rounding, _exported_tolerance(bundle) if tolerance is None else tolerance)
    golden = load_golden(bundle)
    checks: list[Check] = []
    for runtime in chosen:
        progress(f"running every part in {runtime}")
        checks += _compare_outputs(bundle, golden, runtime, gate, skipped)
        checks += _compare_precisions(bundle, runtime, skipped)
        if per_block and runtime != "torch":
            progress(f"comparing block by block in {runtime}")
            checks += _compare_blocks(bundle, golden, runtime, gate.explicit)
    return Verification(bundle.path, gate.describe(), chosen, tuple(checks), tuple(skipped), len(bundle.manifest.files))


def _compare_outputs(
    bundle: Bundle, golden: dict[str, Array], runtime: str, gate: Float32Gate, skipped: list[str]
) -> Iterator[Check]:
    for part, tensors in bundle.manifest.tensors.items():
        if runtime == "torch" and part not in PART_INPUTS:
            skipped.append(f"torch: {part} (it is no part of the network)")
            continue
        session = open_session(runtime, bundle.part_path(part))
        missing = [name for name in (*tensors["inputs"], *tensors["outputs"]) if name not in golden]
        if missing:
            raise BundleError(f"{bundle.path / GOLDEN} lacks tensors", details=missing, hint="export again")
        outputs = session.run({name: golden[name] for name in tensors["inputs"]})
        for name in tensors["outputs"]:
            difference = compare_output(name, golden[name], _output(outputs, name, part))
            yield Check(runtime, f"{part} -> {name}", difference, gate.tolerance(part, name))


def _compare_precisions(bundle: Bundle, runtime: str, skipped: list[str]) -> Iterator[Check]:
    """Graphs of lower precision beside what they gave when they were made."""
    for precision, made in bundle.manifest.precisions.items():
        if runtime == "torch":
            skipped.append(f"torch: {precision} (it rebuilds float32 only)")
            continue
        if precision == "bf16" and runtime == "onnxruntime":
            skipped.append("onnxruntime: bf16 (its CPU kernels have no bfloat16)")
            continue
        if not made.rounding:
            skipped.append(
                f"{runtime}: {precision} (made by an older version, without golden outputs of its own graphs; "
                "`x3ddeploy quantize` makes it anew)"
            )
            continue
        golden = load_golden(bundle, precision)
        for part, inputs in PART_INPUTS.items():
            session = open_session(runtime, bundle.part_path(part, precision))
            outputs = session.run({name: golden[name] for name in inputs})
            for name in bundle.manifest.tensors[part]["outputs"]:
                label = f"{part} -> {name}"
                difference = compare_output(name, golden[name], _output(outputs, name, f"{precision}: {part}"))
                yield Check(runtime, f"{precision}: {label}", difference, lower_tolerance(made, label))


def _output(outputs: dict[str, Array], name: str, part: str) -> Array:
    if name not in outputs:
        raise GateError(f"{part} has no output {name}", hint="the graph was altered: export or quantize again")
    return outputs[name]


def _compare_blocks(bundle: Bundle, golden: dict[str, Array], runtime: str, explicit: float | None) -> Iterator[Check]:
    for part in ("rgb_backbone", "pose_backbone"):
        path = bundle.part_path(part)
        inputs = {name: golden[name] for name in PART_INPUTS[part]}
        for row in compare_blocks(rebuild(onnx.load(path)), part, path, runtime, inputs):
            yield Check(runtime, row.block, row.difference, row.tolerance(explicit))


def _exported_tolerance(bundle: Bundle) -> float | None:
    """What `export --verify-tol` said, or the one tolerance that bundles of older versions were held to."""
    try:
        tolerance = json.loads((bundle.path / PARITY).read_text())["tolerance"]
        return None if tolerance is None else float(tolerance)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"cannot read {bundle.path / PARITY}: {error}", hint="give --verify-tol") from error
