"""From a bundle's float32 graphs to half-typed and quantized ones beside them: measured, gated, sealed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx

from x3ddeploy import __version__
from x3ddeploy.bench.report import usable_cores
from x3ddeploy.bundle import CALIBRATION, Bundle, Precision, add_precision
from x3ddeploy.calibration.cache import Calibration, CalibrationKey, read_calibration
from x3ddeploy.calibration.choice import Chosen, ClipSets, choose_clips, random_clips
from x3ddeploy.calibration.recipe import Recipe
from x3ddeploy.calibration.run import run_calibration
from x3ddeploy.data.subset import balanced_choice
from x3ddeploy.errors import BundleError, GateError, UsageError
from x3ddeploy.export.metadata import PartMetadata
from x3ddeploy.export.parts import PARTS
from x3ddeploy.export.pipeline import serialize
from x3ddeploy.export.work import multiply_adds
from x3ddeploy.parity.compare import PART_INPUTS
from x3ddeploy.parity.golden import load_golden
from x3ddeploy.parity.metrics import compare
from x3ddeploy.precision.accuracy import STREAMS, StreamAccuracy, accuracies
from x3ddeploy.precision.clips import ReusedClips
from x3ddeploy.precision.half import Half, float32_nodes, to_half
from x3ddeploy.precision.lint import lint_qdq
from x3ddeploy.precision.scan import overflowing_nodes
from x3ddeploy.precision.search import Choice, Gate, search
from x3ddeploy.precision.sensitivity import (
    Sensitivity,
    measure_sensitivity,
    units_by_block,
    units_by_kind,
)
from x3ddeploy.precision.streams import Logits, logits_on, open_stream, stream_graph
from x3ddeploy.precision.targets import Target, target_named
from x3ddeploy.precision.trials import Quantizer, Trials
from x3ddeploy.precision.verdict import FP32, Verdict, judge
from x3ddeploy.runtimes.base import Array, open_session, require

FP16, BF16, INT8 = "fp16", "bf16", "int8"
REPORT = "report.json"
_SCANNED_CLIPS = 4
_SENSITIVITY_CLIPS = 32
# Largest error of logits and features of half-typed graphs on the golden clip, relative to their range: float16 has 11
# significant bits and bfloat16 8, and some 80 layers add up; ten times what was seen on trained networks.
_HALF_TOLERANCE = {FP16: 1e-2, BF16: 8e-2}


@dataclass(frozen=True)
class Request:
    """What to make.

    Attributes:
        precisions: of 'fp16', 'bf16', 'int8'.
        recipe: the clips and the budget.
        random: calibrate with made-up clips.
        calibration: a cache file to take the ranges from.
        opset17: for TensorRT 8.6: quantized graphs whose other tensors stay float32.
    """

    precisions: tuple[str, ...]
    recipe: Recipe
    random: bool = False
    calibration: Path | None = None
    opset17: bool = False


@dataclass(frozen=True)
class Reporter:
    """Who is told what goes on: a step, and how far a long one is (name, done, of)."""

    step: Callable[[str], None]
    count: Callable[[str, int, int], None]


@dataclass(frozen=True)
class Made:
    """One precision, made.

    Attributes:
        float_layers: what stays in a higher precision, each with the reason.
        accuracy: against float32 on the judging clips, where there are any.
        golden_error: 'part -> output' -> relative error on the golden clip.
        sensitivities: of blocks and of kinds of layers, for INT8.
        steps: of the search, for INT8.
        random: whether it was calibrated with made-up clips.
    """

    precision: str
    float_layers: dict[str, str]
    accuracy: dict[str, StreamAccuracy] | None
    golden_error: dict[str, float]
    sensitivities: tuple[Sensitivity, ...] = ()
    steps: tuple[str, ...] = ()
    random: bool = False


@dataclass(frozen=True)
class Quantized:
    """A finished run."""

    bundle: Bundle
    made: tuple[Made, ...]
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        """For `--json` and report.json."""
        return {
            "schema_version": 1,
            "bundle": str(self.bundle.path),
            "target": self.bundle.manifest.target,
            "precisions": [_made_to_json(made) for made in self.made],
            "verdict": msgspec.to_builtins(self.verdict),
        }


def quantize_bundle(bundle: Bundle, request: Request, reporter: Reporter) -> Quantized:
    """Make the graphs of lower precision and put them into the bundle, each only when it passed its gate.

    Raises:
        UsageError: the target has no such precision, or there are no clips to calibrate with.
        BundleError: the bundle was altered, or a calibration does not fit it.
        DataError: clips cannot be read, or calibration clips show what is judged.
        GateError: accuracy cannot be kept within the budget; graphs made before that stay.
        MissingRequirementError: the runtime that judges is not installed.
    """
    return _Run(bundle, request, reporter).run()


class _Run:
    def __init__(self, bundle: Bundle, request: Request, reporter: Reporter) -> None:
        manifest = bundle.manifest
        self._bundle, self._request, self._reporter = bundle, request, reporter
        self._target: Target = target_named(manifest.target)
        self._spec = manifest.spec
        if BF16 in request.precisions and not self._target.bf16:
            raise UsageError(
                f"graphs for {manifest.target} have no bfloat16 form",
                hint="export with --target tensorrt, or use --fp16",
            )
        require(self._target.runtime)
        altered = bundle.altered_files()
        if altered:
            raise BundleError(f"{bundle.path} is not what its manifest says", details=altered, hint="export again")
        self._parts = {part: onnx.load(bundle.part_path(part)) for part in PARTS}
        self._recognizer = self._parts["recognizer"]
        self._golden = load_golden(bundle)
        self._feeds = {name: self._golden[name] for name in PART_INPUTS["recognizer"]}
        self._clips = self._choose()
        judges = self._clips.evaluation if self._clips else None
        self._judges = judges
        self._judging = ReusedClips(judges) if judges else None

    def run(self) -> Quantized:
        step = self._reporter.step
        if self._clips:
            judging = f", {len(self._judges.indices)} judge" if self._judges else ", none judge"
            step(f"{len(self._clips.calibration.indices)} clips calibrate{judging}")
        overflow = self._scan()
        made = []
        recognizers = {FP32: self._recognizer}
        for precision in self._request.precisions:
            parts, result, calibration = (
                self._quantize(overflow) if precision == INT8 else self._half(precision, overflow)
            )
            recognizers[precision] = parts["recognizer"]
            made.append(result)
            self._add(parts, result, calibration)
        verdict = judge(recognizers, _one_clip(self._feeds), usable_cores(), step)
        return Quantized(self._bundle, tuple(made), verdict)

    def _choose(self) -> ClipSets | None:
        request = self._request
        if request.random:
            return random_clips(self._spec, request.recipe)
        if request.recipe.data is not None:
            return choose_clips(request.recipe, self._spec)
        if INT8 in request.precisions:
            raise UsageError(
                "INT8 needs clips to calibrate with",
                hint="--calib PATH names a data set, an annotation pickle, a folder of .npz files or a script; "
                "--calib-random makes clips up, and marks the result as such",
            )
        return None

    def _scan(self) -> dict[str, str]:
        """Nodes that stay float32 because of their values."""
        clips: list[Mapping[str, Array]] = [self._feeds]
        if self._clips:
            calibration = self._clips.calibration
            few = Chosen(calibration.source, calibration.indices[:_SCANNED_CLIPS])
            clips += [clip.inputs for clip in few.load()]
        self._reporter.step(f"scanning the ranges of all tensors on {len(clips)} clips")
        return overflowing_nodes(self._recognizer, clips)

    def _half(
        self, precision: str, overflow: Mapping[str, str]
    ) -> tuple[dict[str, onnx.ModelProto], Made, Calibration | None]:
        half = Half[precision.upper()]
        # bfloat16 has float32's range.
        kept = {**float32_nodes(self._recognizer), **(overflow if half is Half.FP16 else {})}
        parts = {part: to_half(graph, half, {*float32_nodes(graph), *kept}) for part, graph in self._parts.items()}
        runtime = "openvino" if half is Half.BF16 else self._target.runtime
        require(runtime)
        parts, errors = self._checked(parts, precision, runtime)
        worst = max(errors, key=lambda name: errors[name])
        if not errors[worst] <= _HALF_TOLERANCE[precision]:
            raise GateError(
                f"{precision} differs from float32 by {errors[worst]:.1e} of the range of {worst}",
                hint=f"at most {_HALF_TOLERANCE[precision]:g} is usual: stay in float32, or try another precision",
            )
        accuracy = None
        if self._judges and self._judging:
            self._reporter.step(f"judging {precision} on {len(self._judges.indices)} clips in {runtime}")
            before, after = (self._logits(graph, runtime) for graph in (self._recognizer, parts["recognizer"]))
            accuracy = accuracies(
                before, after, self._judges.labels(), self._judges.names(), self._bundle.manifest.fusion
            )
            _require_accuracy(precision, accuracy, self._request.recipe.max_drop)
        return parts, Made(precision, kept, accuracy, errors), None

    def _quantize(self, overflow: Mapping[str, str]) -> tuple[dict[str, onnx.ModelProto], Made, Calibration | None]:
        assert self._clips is not None
        calibration = self._calibrate(self._clips.calibration)
        quantizer = Quantizer(self._target, calibration.ranges(), tuple(overflow), self._request.opset17)
        sites = quantizer.eligible(self._recognizer)
        sensitivities, blocks = self._sensitivities(quantizer, calibration)
        choice = self._search(quantizer, blocks, calibration)
        chosen = choice.sites if choice else frozenset(site.node for site in sites)
        parts = {part: quantizer.quantize(graph, chosen) for part, graph in self._parts.items()}
        if self._bundle.manifest.target == "tensorrt":
            problems = [f"{part}: {text}" for part, graph in parts.items() for text in lint_qdq(graph)]
            if problems:
                raise GateError("the quantized graphs break TensorRT's rules", details=problems[:12])
        parts, errors = self._checked(parts, INT8, self._target.runtime)
        floats = dict(choice.kept) if choice else {}
        if self._target.rest and not self._request.opset17:
            floats |= {name: reason for name, reason in overflow.items() if name not in chosen}
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

    def _calibrate(self, clips: Chosen) -> Calibration:
        manifest, recipe = self._bundle.manifest, self._request.recipe
        key = CalibrationKey(
            graph_sha256=manifest.files["recognizer.onnx"].sha256,
            target=manifest.target,
            data=dict(clips.source.description),
            clips=tuple(clips.names()),
            method=recipe.method,
            versions={
                "x3ddeploy": __version__,
                "onnxruntime": open_session("onnxruntime", serialize(self._parts["head"])).version,
            },
        )
        if self._request.calibration:
            return read_calibration(self._request.calibration, key)
        sources = {site.source for site in Quantizer(self._target, {}).eligible(self._recognizer)}
        return run_calibration(
            self._recognizer,
            tuple(sorted(sources)),
            clips,
            key,
            self._bundle.path / CALIBRATION,
            unsigned=self._target.scheme.unsigned,
            progress=self._reporter.step,
            on_clip=lambda done, total: self._reporter.count("calibrating", done, total),
        )

    def _sensitivities(
        self, quantizer: Quantizer, calibration: Calibration
    ) -> tuple[list[Sensitivity], list[Sensitivity]]:
        """Of blocks and kinds together, and of the blocks alone."""
        assert self._clips is not None
        judges = self._judges or self._clips.calibration
        labels = judges.labels()
        few = balanced_choice(labels, min(_SENSITIVITY_CLIPS, len(labels)), self._request.recipe.seed)
        clips = Chosen(judges.source, tuple(judges.indices[index] for index in few))
        sites, work = quantizer.eligible(self._recognizer), multiply_adds(self._recognizer)
        assert work is not None, "our own graphs have known shapes"
        by_block, by_kind = units_by_block(sites, work), units_by_kind(sites, work)
        total = len(by_block) + len(by_kind) + len(STREAMS)
        self._reporter.step(f"sensitivity of {len(by_block)} blocks and {len(by_kind)} kinds on {len(few)} clips")
        trials = self._trials(quantizer, calibration, ReusedClips(clips), "sensitivity", total)
        blocks = measure_sensitivity(trials, by_block)
        return [*blocks, *measure_sensitivity(trials, by_kind)], blocks

    def _search(self, quantizer: Quantizer, blocks: Sequence[Sensitivity], calibration: Calibration) -> Choice | None:
        if not (self._judges and self._judging):
            self._reporter.step("no clips to judge with: the accuracy of INT8 is NOT known")
            return None
        recipe = self._request.recipe
        gate = Gate(self._judges.labels(), self._judges.names(), self._bundle.manifest.fusion, recipe.max_drop)
        self._reporter.step(
            f"judging INT8 on {len(self._judges.indices)} clips: at most {recipe.max_drop:g} points lost"
        )
        trials = self._trials(quantizer, calibration, self._judging, "search", None)
        return search(trials, blocks, gate, self._reporter.step)

    def _trials(
        self, quantizer: Quantizer, calibration: Calibration, clips: ReusedClips, name: str, total: int | None
    ) -> Trials:
        digest = calibration.key.digest()
        journal = self._bundle.path / CALIBRATION / f"{digest}.{name}.npz"
        about = [digest, msgspec.to_builtins(calibration.tensors), clips.names(), self._request.opset17]
        key = hashlib.sha256(msgspec.json.encode(about)).hexdigest()
        done = 0

        def count() -> None:
            nonlocal done
            done += 1
            if total:
                self._reporter.count(name, done, total)

        return Trials(self._recognizer, quantizer, clips, journal, key, count)

    def _checked(
        self, parts: Mapping[str, onnx.ModelProto], precision: str, runtime: str
    ) -> tuple[dict[str, onnx.ModelProto], dict[str, float]]:
        """The parts with their metadata, valid, finite on the golden clip, and how far each output is off there."""
        checked, errors = {}, {}
        for part, graph in parts.items():
            metadata = replace(PartMetadata.of(self._parts[part]), precision=precision)
            checked[part] = metadata.stamped(graph)
            onnx.checker.check_model(checked[part], full_check=True)
            session = open_session(runtime, serialize(checked[part]))
            for name, value in session.run({name: self._golden[name] for name in PART_INPUTS[part]}).items():
                difference = compare(self._golden[name], value)
                if not difference.finite:
                    raise GateError(f"{precision}: {part} -> {name} is not finite on the golden clip")
                errors[f"{part} -> {name}"] = difference.relative
        return checked, errors

    def _logits(self, recognizer: onnx.ModelProto, runtime: str) -> dict[str, Logits]:
        assert self._judging is not None
        return {
            stream: logits_on(open_stream(stream_graph(recognizer, stream), runtime), stream, self._judging)
            for stream in STREAMS
        }

    def _add(self, parts: Mapping[str, onnx.ModelProto], made: Made, calibration: Calibration | None) -> None:
        accuracy: dict[str, dict[str, float | None]] | None = None
        if made.accuracy is not None:
            accuracy = {
                name: {"top1_before": entry.top1_before, "top1_after": entry.top1_after, "agreement": entry.agreement}
                for name, entry in made.accuracy.items()
            }
        precision = Precision(
            calibration=f"{CALIBRATION}/{calibration.key.digest()}.json" if calibration else None,
            random_calibration=made.random,
            float_layers=made.float_layers,
            accuracy=accuracy,
            golden_error=made.golden_error,
        )
        if calibration and self._request.calibration:
            calibration.write(self._bundle.path / precision.calibration)  # type: ignore[operator]
        files = {f"{part}.onnx": serialize(graph) for part, graph in parts.items()}
        files[REPORT] = msgspec.json.format(msgspec.json.encode(_made_to_json(made)), indent=2)
        self._bundle = add_precision(self._bundle, made.precision, files, precision)
        for journal in (self._bundle.path / CALIBRATION).glob("*.npz"):
            journal.unlink()
        self._reporter.step(f"{made.precision} is in the bundle")


def _one_clip(feeds: Mapping[str, Array]) -> dict[str, Array]:
    return {name: np.ascontiguousarray(value[:1]) for name, value in feeds.items()}


def _require_accuracy(precision: str, accuracy: Mapping[str, StreamAccuracy], max_drop: float) -> None:
    problems = [text for name, entry in accuracy.items() for text in entry.failures(name, max_drop)]
    if problems:
        raise GateError(
            f"{precision} loses too much accuracy", details=problems, hint="stay in float32, or raise --max-drop"
        )


def _made_to_json(made: Made) -> dict[str, Any]:
    value: dict[str, Any] = msgspec.to_builtins(made)
    for entry, sensitivity in zip(value["sensitivities"], made.sensitivities, strict=True):
        entry["unit"]["sites"] = sorted(sensitivity.unit.sites)
    return value
