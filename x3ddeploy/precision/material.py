"""What lower precisions are made from and held against: float32 graphs, golden clip, calibration and judging."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import numpy as np
import onnx

from x3ddeploy.bundle import PARTS, Bundle
from x3ddeploy.bundle.check import require_whole
from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.calibration.choice import Chosen, ClipSets, choose_clips, random_clips
from x3ddeploy.errors import UsageError
from x3ddeploy.parity.compare import PART_INPUTS
from x3ddeploy.parity.golden import load_golden
from x3ddeploy.parity.metrics import compare
from x3ddeploy.places import require_place
from x3ddeploy.precision.accuracy import STREAMS
from x3ddeploy.precision.clips import ReusedClips
from x3ddeploy.precision.golden import Graphs, with_golden
from x3ddeploy.precision.request import BF16, INT8, Reporter, Request
from x3ddeploy.precision.scan import overflowing_nodes
from x3ddeploy.precision.streams import Logits, logits_on, open_stream, stream_graph
from x3ddeploy.precision.targets import Target, target_named
from x3ddeploy.runtimes.base import Array
from x3ddeploy.runtimes.registry import require

_SCANNED_CLIPS = 4


class Material:
    """A bundle that is to get lower precisions, and the clips.

    Attributes:
        bundle: as it was when the command began.
        target: the runtime that the graphs are for.
        parts: float32 graphs.
        clips: that calibrate and that judge, where there are any.
        judges: the latter.
        judging: their inputs, loaded once.
    """

    def __init__(self, bundle: Bundle, request: Request, reporter: Reporter) -> None:
        """Check what can be checked before any work.

        Raises:
            UsageError: the target has no such precision, or there are no clips to calibrate with.
            BundleError: the bundle is not what its manifest says.
            DataError: clips cannot be read, or calibration clips show what is judged.
            MissingRequirementError: the runtime that judges is not installed.
        """
        self.bundle, self.request, self.reporter = bundle, request, reporter
        self.target: Target = target_named(bundle.manifest.target)
        if BF16 in request.precisions and not self.target.bf16:
            raise UsageError(
                f"graphs for {bundle.manifest.target} have no bfloat16 form",
                hint="export with --target tensorrt, or use --fp16",
            )
        require(self.target.runtime)
        require_whole(bundle)
        float32 = sum(bundle.part_path(part).stat().st_size for part in PARTS)
        require_place(bundle.path, float32 * len(request.precisions))
        self.parts = {part: onnx.load(bundle.part_path(part)) for part in PARTS}
        self._golden = load_golden(bundle)
        self.clips = self._choose()
        self.judges: Chosen | None = self.clips.evaluation if self.clips else None
        self.judging = ReusedClips(self.judges) if self.judges else None

    @property
    def recognizer(self) -> onnx.ModelProto:
        """The fused float32 graph."""
        return self.parts["recognizer"]

    @cached_property
    def golden_clip(self) -> dict[str, Array]:
        """The recognizer's inputs, one clip."""
        return {name: np.ascontiguousarray(self._golden[name][:1]) for name in PART_INPUTS["recognizer"]}

    @cached_property
    def overflow(self) -> dict[str, str]:
        """Nodes that float16 cannot hold, by a scan of the golden and of a few calibration clips; each with why."""
        clips: list[Mapping[str, Array]] = [{name: self._golden[name] for name in PART_INPUTS["recognizer"]}]
        if self.clips:
            calibration = self.clips.calibration
            few = Chosen(calibration.source, calibration.indices[:_SCANNED_CLIPS])
            clips += [clip.inputs for clip in few.load()]
        self.reporter.step(f"scanning the ranges of all tensors on {len(clips)} clips")
        return overflowing_nodes(self.recognizer, clips)

    def checked(self, parts: Mapping[str, onnx.ModelProto], precision: str, runtime: str) -> Graphs:
        """The parts with their metadata, valid, and what they give on the golden clip.

        Raises:
            GateError: an output is not finite, or the parts compute something else than the recognizer.
        """
        checked = {}
        for part, graph in parts.items():
            metadata = replace(PartMetadata.of(self.parts[part]), precision=precision)
            checked[part] = metadata.stamped(graph)
            onnx.checker.check_model(checked[part], full_check=True)
        clip = {name: self._golden[name] for name in PART_INPUTS["recognizer"]}
        return with_golden(checked, precision, runtime, clip)

    def golden_error(self, graphs: Graphs) -> dict[str, float]:
        """How far each output ('part -> output') of a lower precision is from float32's, relative to its range."""
        errors = {}
        for label in graphs.rounding:
            name = label.rpartition(" -> ")[2]
            errors[label] = compare(self._golden[name], graphs.outputs[name]).relative
        return errors

    def judged_logits(self, recognizer: onnx.ModelProto, runtime: str) -> dict[str, Logits]:
        """Logits of both streams on the judging clips."""
        assert self.judging is not None
        return {
            stream: logits_on(open_stream(stream_graph(recognizer, stream), runtime), stream, self.judging)
            for stream in STREAMS
        }

    def _choose(self) -> ClipSets | None:
        request, contract = self.request, self.bundle.contract
        if request.random:
            return random_clips(contract, request.recipe)
        if request.recipe.data is not None:
            return choose_clips(request.recipe, contract)
        if INT8 in request.precisions:
            raise UsageError(
                "INT8 needs clips to calibrate with",
                hint="--calib PATH names a data set, an annotation pickle, a folder of .npz files or a script; "
                "--calib-random makes clips up, and marks the result as such",
            )
        return None
