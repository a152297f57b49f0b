"""INT8: calibrated, the sensitivity of its blocks measured, and searched for what has to stay float."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from x3ddeploy import __version__
from x3ddeploy.bundle import CALIBRATION
from x3ddeploy.bundle.paths import graph_name
from x3ddeploy.calibration.cache import Calibration, CalibrationKey, read_calibration
from x3ddeploy.calibration.choice import Chosen
from x3ddeploy.calibration.ranges import Range
from x3ddeploy.calibration.run import run_calibration
from x3ddeploy.contract import WHOLE
from x3ddeploy.data.subset import balanced_choice
from x3ddeploy.errors import GateError
from x3ddeploy.graphs.work import multiply_adds
from x3ddeploy.machine import usable_cores
from x3ddeploy.precision.faithful import require_faithful
from x3ddeploy.precision.golden import Graphs
from x3ddeploy.precision.job import Job
from x3ddeploy.precision.lint import lint_qdq
from x3ddeploy.precision.request import MadePrecision
from x3ddeploy.precision.search import Gate, Layers, SearchResult, Sensitivity, measure_sensitivity, search
from x3ddeploy.precision.sites import ranges_of_parts
from x3ddeploy.precision.streams import ReusedClips, streams_of_nodes
from x3ddeploy.precision.trials import Quantizer, Trials
from x3ddeploy.precision.verdict import will_not_pay
from x3ddeploy.runtimes.onnxruntime_session import OnnxRuntimeSession
from x3ddeploy.terms import Precision, Target

# They rank the blocks, by a divergence that every clip has a part in; the search judges by all clips.
_SENSITIVITY_CLIPS = 16


def make_int8(job: Job) -> tuple[Graphs, MadePrecision, Calibration]:
    """The parts with explicit Q/DQ, and the calibration that their scales are from.

    Raises:
        BundleError: a calibration that was named does not fit.
        DataError: clips cannot be read.
        GateError: accuracy cannot be kept within the budget, a graph is not float32's in INT8, or it breaks TensorRT's
            rules.
    """
    assert job.clips is not None
    opset17 = job.request.opset17
    _foretell(job)
    calibration = _calibrate(job, job.clips.calibration)
    ranges = ranges_of_parts(calibration.ranges(), job.recognizer, job.parts.values())
    quantizer = Quantizer(job.target, ranges, tuple(job.overflow), opset17)
    sites = quantizer.eligible(job.recognizer)
    sensitivities, blocks = _sensitivities(job, quantizer, calibration)
    choice = _search(job, quantizer, calibration, blocks)
    chosen = choice.sites if choice else frozenset(site.node for site in sites)
    parts = {part: quantizer.quantize(graph, chosen) for part, graph in job.parts.items()}
    for part, graph in job.parts.items():
        require_faithful(graph, parts[part], quantizer.intent(graph, chosen), f"int8/{part}.onnx")
    if job.bundle.manifest.target == Target.TENSORRT:
        problems = [f"{part}: {text}" for part, graph in parts.items() for text in lint_qdq(graph)]
        if problems:
            raise GateError("the quantized graphs break TensorRT's rules", details=problems[:12])
    graphs = job.checked(parts, Precision.INT8)
    floats = dict(choice.kept) if choice else {}
    if job.target.rest and not opset17:
        floats |= {name: reason for name, reason in job.overflow.items() if name not in chosen}
    made = MadePrecision(
        Precision.INT8,
        floats,
        choice.accuracy if choice else None,
        job.golden_error(graphs),
        graphs.rounding,
        tuple(sensitivities),
        choice.steps if choice else (),
        calibration.random,
    )
    return graphs, made, calibration


def _foretell(job: Job) -> None:
    """Say before the work where INT8 is slower than float32 in the runtime that it is for."""
    if job.bundle.manifest.target == Target.TENSORRT:  # whose graphs are only judged here
        return
    sites = Quantizer(job.target, {}).eligible(job.recognizer)
    anything = Quantizer(job.target, {site.source: Range(-1.0, 1.0) for site in sites})
    quantized = anything.quantize(job.recognizer, [site.node for site in sites])
    execution = job.judge(Precision.INT8)
    if said := will_not_pay(execution, job.recognizer, quantized, job.golden_clip, usable_cores()):
        job.progress(said)


def _calibrate(job: Job, clips: Chosen) -> Calibration:
    manifest, request = job.bundle.manifest, job.request
    key = CalibrationKey(
        graph_sha256=manifest.files[graph_name(WHOLE)].sha256,
        target=manifest.target,
        data=dict(clips.source.description),
        clips=tuple(clips.names()),
        method=request.recipe.method,
        versions={
            "x3ddeploy": __version__,
            "onnxruntime": OnnxRuntimeSession.version,
        },
    )
    directory = job.bundle.path / CALIBRATION
    if request.calibration:
        return read_calibration(request.calibration, key)
    sources = {site.source for site in Quantizer(job.target, {}).eligible(job.recognizer)}
    return run_calibration(
        job.recognizer,
        tuple(sorted(sources)),
        clips,
        key,
        directory,
        unsigned=job.target.scheme.unsigned,
        progress=job.progress,
        on_clip=lambda done, total: job.progress.count("calibrating", done, total),
    )


def _trials(
    job: Job, quantizer: Quantizer, calibration: Calibration, clips: ReusedClips, name: str, total: int = 0
) -> Trials:
    """Trials under a name that remember what they measured, beside the calibration, until the precision is made.

    Where their number is known, they are of one unit each, in the graph's order.
    """
    digest = calibration.key.digest()
    journal = job.bundle.path / CALIBRATION / f"{digest}.{name}.npz"
    about = [digest, msgspec.to_builtins(calibration.tensors), clips.names(), quantizer.opset17]
    key = hashlib.sha256(msgspec.json.encode(about)).hexdigest()
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if total:
            job.progress.count(name, done, total)

    execution = job.judge(Precision.INT8)
    one_by_one = total > 0
    return Trials(job.recognizer, job.streams, execution, quantizer, clips, journal, key, count, one_by_one=one_by_one)


def _sensitivities(
    job: Job, quantizer: Quantizer, calibration: Calibration
) -> tuple[list[Sensitivity], list[Sensitivity]]:
    """Sensitivities of blocks and kinds together, and those of the blocks alone."""
    assert job.clips is not None
    judges = job.judges or job.clips.calibration
    labels = judges.labels()
    few = balanced_choice(labels, min(_SENSITIVITY_CLIPS, len(labels)), job.request.recipe.seed)
    clips = ReusedClips(Chosen(judges.source, tuple(judges.indices[index] for index in few)))
    sites, work = quantizer.eligible(job.recognizer), multiply_adds(job.recognizer)
    assert work is not None, "our own graphs have known shapes"
    layers = Layers(tuple(sites), work, streams_of_nodes(job.recognizer, job.streams))
    by_block, by_kind = layers.by_block(), layers.by_kind()
    job.progress(f"sensitivity of {len(by_block)} blocks and {len(by_kind)} kinds on {len(few)} clips")
    # What is not quantized stays float32 for any target: it tells INT8's part, and CPUs compute no float16.
    alone = replace(quantizer, opset17=True)
    trials = _trials(job, alone, calibration, clips, "sensitivity", len(by_block) + len(by_kind) + len(job.streams))
    blocks = measure_sensitivity(trials, by_block)
    return [*blocks, *measure_sensitivity(trials, by_kind)], blocks


def _search(
    job: Job, quantizer: Quantizer, calibration: Calibration, blocks: Sequence[Sensitivity]
) -> SearchResult | None:
    if not (job.judges and job.judging):
        job.progress("no clips to judge with: the accuracy of INT8 is NOT known")
        return None
    judges, recipe = job.judges, job.request.recipe
    gate = Gate(judges.labels(), judges.names(), job.contract, recipe.max_drop)
    job.progress(f"judging INT8 on {len(judges.indices)} clips: at most {recipe.max_drop:g} points lost")
    trials = _trials(job, quantizer, calibration, job.judging, "search")
    return search(trials, blocks, gate, job.progress)
