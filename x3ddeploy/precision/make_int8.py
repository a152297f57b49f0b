"""INT8: calibrated, the sensitivity of its blocks measured, and searched for what has to stay float."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from x3ddeploy import __version__
from x3ddeploy.bundle import CALIBRATION
from x3ddeploy.bundle.paths import graph_name
from x3ddeploy.calibration.cache import Calibration, CalibrationKey, read_calibration
from x3ddeploy.calibration.choice import Chosen
from x3ddeploy.calibration.run import run_calibration
from x3ddeploy.contract import WHOLE
from x3ddeploy.data.subset import balanced_choice
from x3ddeploy.errors import GateError
from x3ddeploy.graphs.work import multiply_adds
from x3ddeploy.precision.clips import ReusedClips
from x3ddeploy.precision.faithful import require_faithful
from x3ddeploy.precision.golden import Graphs
from x3ddeploy.precision.lint import lint_qdq
from x3ddeploy.precision.material import Material
from x3ddeploy.precision.request import Made
from x3ddeploy.precision.search import Choice, Gate, search
from x3ddeploy.precision.sensitivity import Layers, Sensitivity, measure_sensitivity
from x3ddeploy.precision.sites import ranges_of_parts
from x3ddeploy.precision.streams import streams_of_nodes
from x3ddeploy.precision.trials import Quantizer, Trials
from x3ddeploy.runtimes.onnxruntime_session import OnnxRuntimeSession
from x3ddeploy.terms import Precision, Target

_SENSITIVITY_CLIPS = 32


def make_int8(material: Material) -> tuple[Graphs, Made, Calibration]:
    """The parts with explicit Q/DQ, and the calibration that their scales are from.

    Raises:
        BundleError: a calibration that was named does not fit.
        DataError: clips cannot be read.
        GateError: accuracy cannot be kept within the budget, a graph is not float32's in INT8, or it breaks TensorRT's
            rules.
    """
    assert material.clips is not None
    opset17 = material.request.opset17
    calibration = _calibrate(material, material.clips.calibration)
    ranges = ranges_of_parts(calibration.ranges(), material.recognizer, material.parts.values())
    quantizer = Quantizer(material.target, ranges, tuple(material.overflow), opset17)
    sites = quantizer.eligible(material.recognizer)
    sensitivities, blocks = _sensitivities(material, quantizer, calibration)
    choice = _search(material, quantizer, calibration, blocks)
    chosen = choice.sites if choice else frozenset(site.node for site in sites)
    parts = {part: quantizer.quantize(graph, chosen) for part, graph in material.parts.items()}
    for part, graph in material.parts.items():
        require_faithful(graph, parts[part], quantizer.intent(graph, chosen), f"int8/{part}.onnx")
    if material.bundle.manifest.target == Target.TENSORRT:
        problems = [f"{part}: {text}" for part, graph in parts.items() for text in lint_qdq(graph)]
        if problems:
            raise GateError("the quantized graphs break TensorRT's rules", details=problems[:12])
    graphs = material.checked(parts, Precision.INT8)
    floats = dict(choice.kept) if choice else {}
    if material.target.rest and not opset17:
        floats |= {name: reason for name, reason in material.overflow.items() if name not in chosen}
    made = Made(
        Precision.INT8,
        floats,
        choice.accuracy if choice else None,
        material.golden_error(graphs),
        tuple(sensitivities),
        choice.steps if choice else (),
        calibration.random,
    )
    return graphs, made, calibration


def _calibrate(material: Material, clips: Chosen) -> Calibration:
    manifest, request = material.bundle.manifest, material.request
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
    directory = material.bundle.path / CALIBRATION
    if request.calibration:
        return read_calibration(request.calibration, key)
    sources = {site.source for site in Quantizer(material.target, {}).eligible(material.recognizer)}
    return run_calibration(
        material.recognizer,
        tuple(sorted(sources)),
        clips,
        key,
        directory,
        unsigned=material.target.scheme.unsigned,
        progress=material.progress,
        on_clip=lambda done, total: material.progress.count("calibrating", done, total),
    )


def _trials(
    material: Material, quantizer: Quantizer, calibration: Calibration, clips: ReusedClips, name: str, total: int | None
) -> Trials:
    """Trials under a name that remember what they measured, beside the calibration, until the precision is made."""
    digest = calibration.key.digest()
    journal = material.bundle.path / CALIBRATION / f"{digest}.{name}.npz"
    about = [digest, msgspec.to_builtins(calibration.tensors), clips.names(), material.request.opset17]
    key = hashlib.sha256(msgspec.json.encode(about)).hexdigest()
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if total:
            material.progress.count(name, done, total)

    execution = material.judge(Precision.INT8)
    return Trials(material.recognizer, material.streams, execution, quantizer, clips, journal, key, count)


def _sensitivities(
    material: Material, quantizer: Quantizer, calibration: Calibration
) -> tuple[list[Sensitivity], list[Sensitivity]]:
    """Of blocks and kinds together, and of the blocks alone."""
    assert material.clips is not None
    judges = material.judges or material.clips.calibration
    labels = judges.labels()
    few = balanced_choice(labels, min(_SENSITIVITY_CLIPS, len(labels)), material.request.recipe.seed)
    clips = ReusedClips(Chosen(judges.source, tuple(judges.indices[index] for index in few)))
    sites, work = quantizer.eligible(material.recognizer), multiply_adds(material.recognizer)
    assert work is not None, "our own graphs have known shapes"
    layers = Layers(tuple(sites), work, streams_of_nodes(material.recognizer, material.streams))
    by_block, by_kind = layers.by_block(), layers.by_kind()
    material.progress(f"sensitivity of {len(by_block)} blocks and {len(by_kind)} kinds on {len(few)} clips")
    trials = _trials(
        material, quantizer, calibration, clips, "sensitivity", len(by_block) + len(by_kind) + len(material.streams)
    )
    blocks = measure_sensitivity(trials, by_block)
    return [*blocks, *measure_sensitivity(trials, by_kind)], blocks


def _search(
    material: Material, quantizer: Quantizer, calibration: Calibration, blocks: Sequence[Sensitivity]
) -> Choice | None:
    if not (material.judges and material.judging):
        material.progress("no clips to judge with: the accuracy of INT8 is NOT known")
        return None
    judges, recipe = material.judges, material.request.recipe
    gate = Gate(judges.labels(), judges.names(), material.contract, recipe.max_drop)
    material.progress(f"judging INT8 on {len(judges.indices)} clips: at most {recipe.max_drop:g} points lost")
    trials = _trials(material, quantizer, calibration, material.judging, "search", None)
    return search(trials, blocks, gate, material.progress)
