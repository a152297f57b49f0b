"""From a bundle's float32 graphs to half-typed and quantized ones beside them: measured, gated, sealed."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from x3ddeploy.atomic import json_bytes
from x3ddeploy.bundle import CALIBRATION, AccuracyEntry, Bundle, PrecisionEntry, add_precision
from x3ddeploy.calibration.cache import Calibration
from x3ddeploy.calibration.recipe import Recipe
from x3ddeploy.contract import WHOLE
from x3ddeploy.exporting.parts import serialize
from x3ddeploy.machine import usable_cores
from x3ddeploy.precision.golden import Graphs
from x3ddeploy.precision.job import Job
from x3ddeploy.precision.make_half import make_half
from x3ddeploy.precision.make_int8 import make_int8
from x3ddeploy.precision.request import MadePrecision, MadeReport, Request
from x3ddeploy.precision.verdict import BlockTime, Verdict, block_times, judge
from x3ddeploy.progress import Progress
from x3ddeploy.terms import Precision

REPORT = "report.json"


@dataclass(frozen=True)
class BlockTimes:
    """Times of blocks in float32 and INT8, and the runtime whose profile they are of."""

    runtime: str
    blocks: tuple[BlockTime, ...]


@dataclass(frozen=True)
class QuantizeReport:
    """What `x3ddeploy quantize --json` prints."""

    schema_version: int
    bundle: str
    target: str
    precisions: tuple[MadeReport, ...]
    verdict: Verdict
    block_times: BlockTimes


@dataclass(frozen=True)
class Quantized:
    """A finished run.

    Attributes:
        recipe: the clips and the budget.
        judging_split: split of the annotations that judged; None where nothing did, or the clips have no splits.
        runtime: the runtime that judged, and in which the blocks were timed.
        block_times: latencies of the blocks in float32 and INT8, where INT8 was made.
    """

    bundle: Bundle
    made: tuple[MadePrecision, ...]
    verdict: Verdict
    recipe: Recipe
    judging_split: str | None
    runtime: str
    block_times: tuple[BlockTime, ...]

    def document(self) -> QuantizeReport:
        """For `--json`."""
        return QuantizeReport(
            schema_version=1,
            bundle=str(self.bundle.path),
            target=self.bundle.manifest.target,
            precisions=tuple(made.report() for made in self.made),
            verdict=self.verdict,
            block_times=BlockTimes(self.runtime, self.block_times),
        )


def quantize_bundle(bundle: Bundle, request: Request, progress: Progress) -> Quantized:
    """Make the graphs of lower precision and put them into the bundle, each only when it passed its gate.

    Raises:
        UsageError: the target has no such precision, or there are no clips to calibrate with.
        BundleError: the bundle was altered, or a calibration does not fit it.
        DataError: clips cannot be read, or calibration clips show what is judged.
        GateError: accuracy cannot be kept within the budget; graphs made before that stay.
        MissingRequirementError: the runtime that judges is not installed.
    """
    job = Job(bundle, request, progress)
    if job.clips:
        judging = f", {len(job.judges.indices)} judge" if job.judges else ", none judge"
        progress(f"{len(job.clips.calibration.indices)} clips calibrate{judging}")
    made, recognizers = [], {Precision.FP32: job.recognizer}
    calibration: Calibration | None
    for precision in request.precisions:
        if precision is Precision.INT8:
            graphs, result, calibration = make_int8(job)
        else:
            (graphs, result), calibration = make_half(job, precision), None
        recognizers[precision] = graphs.parts[WHOLE]
        made.append(result)
        bundle = _sealed(bundle, graphs, result, calibration)
        progress(f"{precision} is in the bundle")
    clip, threads, quantized = job.golden_clip, usable_cores(), recognizers.get(Precision.INT8)
    verdict = judge(recognizers, clip, threads, progress)
    runtime = job.judge(Precision.INT8).runtime if quantized else job.target.runtime
    times = block_times(runtime, job.recognizer, quantized, clip, threads) if quantized else ()
    split = job.judges.source.split if job.judges else None
    return Quantized(bundle, tuple(made), verdict, request.recipe, split, runtime, times)


def _sealed(bundle: Bundle, graphs: Graphs, made: MadePrecision, calibration: Calibration | None) -> Bundle:
    """The bundle with the precision in it; what an interrupted run would have gone on from is gone."""
    accuracy = None
    if made.accuracy is not None:
        accuracy = {
            name: AccuracyEntry(found.agreement, found.top1_before, found.top1_after)
            for name, found in made.accuracy.items()
        }
    place = f"{CALIBRATION}/{calibration.key.digest()}.json" if calibration else None
    precision = PrecisionEntry(
        calibration=place,
        random_calibration=made.random,
        float_layers=made.float_layers,
        accuracy=accuracy,
        golden_error=made.golden_error,
        rounding=made.rounding,
    )
    files = {f"{part}.onnx": serialize(graph) for part, graph in graphs.parts.items()}
    files[REPORT] = msgspec.json.format(msgspec.json.encode(made.report()), indent=2)
    content = json_bytes(calibration) if calibration else b""
    sealed = add_precision(bundle, made.precision, files, graphs.golden_files(), precision, content)
    if calibration:
        for journal in (bundle.path / CALIBRATION).glob(f"{calibration.key.digest()}.*.npz"):
            journal.unlink(missing_ok=True)
    return sealed
