"""INT8: calibrated, the sensitivity of its blocks measured, and searched for what has to stay float."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
import onnx

from x3ddeploy import __version__
from x3ddeploy.bundle import CALIBRATION
from x3ddeploy.calibration.cache import Calibration, CalibrationKey, read_calibration
from x3ddeploy.calibration.choice import Chosen
from x3ddeploy.calibration.run import run_calibration
from x3ddeploy.data.subset import balanced_choice
from x3ddeploy.errors import GateError
from x3ddeploy.export.pipeline import serialize
from x3ddeploy.export.work import multiply_adds
from x3ddeploy.precision.accuracy import STREAMS
from x3ddeploy.precision.clips import ReusedClips
from x3ddeploy.precision.lint import lint_qdq
from x3ddeploy.precision.material import Material
from x3ddeploy.precision.request import INT8, Made
from x3ddeploy.precision.search import Choice, Gate, search
from x3ddeploy.precision.sensitivity import Sensitivity, measure_sensitivity, units_by_block, units_by_kind
from x3ddeploy.precision.trials import Quantizer, Trials
from x3ddeploy.runtimes.base import open_session

_SENSITIVITY_CLIPS = 32


def make_int8(material: Material) -> tuple[dict[str, onnx.ModelProto], Made, Calibration]:
    """The parts with explicit Q/DQ, and the calibration that their scales are from.

    Raises:
        BundleError: a calibration that was named does not fit.
        DataError: clips cannot be read.
        GateError: accuracy cannot be kept within the budget, or a graph breaks TensorRT's rules.
    """
    assert material.clips is not None
    opset17 = material.request.opset17
    calibration = _calibrate(material, material.clips.calibration)
    quantizer = Quantizer(material.target, calibration.ranges(), tuple(material.overflow), opset17)
    sites = quantizer.eligible(material.recognizer)
    trials = _TrialMaker(material, quantizer, calibration)
    sensitivities, blocks = _sensitivities(material, quantizer, trials)
    choice = _search(material, blocks, trials)
    chosen = choice.sites if choice else frozenset(site.node for site in sites)
    parts = {part: quantizer.quantize(graph, chosen) for part, graph in material.parts.items()}
    if material.bundle.manifest.target == "tensorrt":
        problems = [f"{part}: {text}" for part, graph in parts.items() for text in lint_qdq(graph)]
        if problems:
            raise GateError("the quantized graphs break TensorRT's rules", details=problems[:12])
    parts, errors = material.checked(parts, INT8, material.target.runtime)
    floats = dict(choice.kept) if choice else {}
    if material.target.rest and not opset17:
        floats |= {name: reason for name, reason in material.overflow.items() if name not in chosen}
    made = Made(
        INT8,
        floats,
        choice.accuracy if choice else None,
        errors,
        tuple(sensitivities),
        choice.steps if choice else (),
        calibration.random,
    )
    return parts, made, calibration


def _calibrate(material: Material, clips: Chosen) -> Calibration:
    manifest, request = material.bundle.manifest, material.request
    key = CalibrationKey(
        graph_sha256=manifest.files["recognizer.onnx"].sha256,
        target=manifest.target,
        data=dict(clips.source.description),
        clips=tuple(clips.names()),
        method=request.recipe.method,
        versions={
            "x3ddeploy": __version__,
            "onnxruntime": open_session("onnxruntime", serialize(material.parts["head"])).version,
        },
    )
    if request.calibration:
        return read_calibration(request.calibration, key)
    sources = {site.source for site in Quantizer(material.target, {}).eligible(material.recognizer)}
    return run_calibration(
        material.recognizer,
        tuple(sorted(sources)),
        clips,
        key,
        material.bundle.path / CALIBRATION,
        unsigned=material.target.scheme.unsigned,
        progress=material.reporter.step,
        on_clip=lambda done, total: material.reporter.count("calibrating", done, total),
    )


class _TrialMaker:
    """Trials that remember what they measured, beside the calibration, until the precision is made."""

    def __init__(self, material: Material, quantizer: Quantizer, calibration: Calibration) -> None:
        self._material, self._quantizer, self._calibration = material, quantizer, calibration

    def on(self, clips: ReusedClips, name: str, total: int | None) -> Trials:
        """Trials on these clips; `total` of them are counted under the name."""
        material = self._material
        digest = self._calibration.key.digest()
        journal = material.bundle.path / CALIBRATION / f"{digest}.{name}.npz"
        about = [digest, msgspec.to_builtins(self._calibration.tensors), clips.names(), material.request.opset17]
        key = hashlib.sha256(msgspec.json.encode(about)).hexdigest()
        done = 0

        def count() -> None:
            nonlocal done
            done += 1
            if total:
                material.reporter.count(name, done, total)

        return Trials(material.recognizer, self._quantizer, clips, journal, key, count)


def _sensitivities(
    material: Material, quantizer: Quantizer, trials: _TrialMaker
) -> tuple[list[Sensitivity], list[Sensitivity]]:
    """Of blocks and kinds together, and of the blocks alone."""
    assert material.clips is not None
    judges = material.judges or material.clips.calibration
    labels = judges.labels()
    few = balanced_choice(labels, min(_SENSITIVITY_CLIPS, len(labels)), material.request.recipe.seed)
    clips = ReusedClips(Chosen(judges.source, tuple(judges.indices[index] for index in few)))
    sites, work = quantizer.eligible(material.recognizer), multiply_adds(material.recognizer)
    assert work is not None, "our own graphs have known shapes"
    by_block, by_kind = units_by_block(sites, work), units_by_kind(sites, work)
    material.reporter.step(f"sensitivity of {len(by_block)} blocks and {len(by_kind)} kinds on {len(few)} clips")
    tried = trials.on(clips, "sensitivity", len(by_block) + len(by_kind) + len(STREAMS))
    blocks = measure_sensitivity(tried, by_block)
    return [*blocks, *measure_sensitivity(tried, by_kind)], blocks


def _search(material: Material, blocks: Sequence[Sensitivity], trials: _TrialMaker) -> Choice | None:
    if not (material.judges and material.judging):
        material.reporter.step("no clips to judge with: the accuracy of INT8 is NOT known")
        return None
    judges, recipe = material.judges, material.request.recipe
    gate = Gate(judges.labels(), judges.names(), material.bundle.manifest.fusion, recipe.max_drop)
    material.reporter.step(f"judging INT8 on {len(judges.indices)} clips: at most {recipe.max_drop:g} points lost")
    return search(trials.on(material.judging, "search", None), blocks, gate, material.reporter.step)
