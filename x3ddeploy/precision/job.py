"""What lower precisions are made from and held against: float32 graphs, golden clip, calibration and judging."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import numpy as np
import onnx

from x3ddeploy.bundle import Bundle
from x3ddeploy.bundle.check import require_whole
from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.calibration.choice import Chosen, ClipSets, choose_clips, random_clips
from x3ddeploy.contract import WHOLE
from x3ddeploy.errors import MissingRequirementError, UsageError
from x3ddeploy.parity.golden import load_golden
from x3ddeploy.parity.metrics import compare
from x3ddeploy.places import require_place
from x3ddeploy.precision.golden import Graphs, with_golden
from x3ddeploy.precision.request import Request
from x3ddeploy.precision.scan import overflowing_nodes
from x3ddeploy.precision.streams import Logits, ReusedClips, logits_on, open_stream, stream_graph, streams_of
from x3ddeploy.precision.targets import target_named
from x3ddeploy.progress import Progress
from x3ddeploy.runtimes.base import Array
from x3ddeploy.runtimes.registry import RUNTIMES, Execution, graph_runtimes, require, unsupported
from x3ddeploy.terms import Precision

_SCANNED_CLIPS = 4


class Job:
    """A bundle that is to get lower precisions, and the clips.

    Attributes:
        bundle: as it was when the command began.
        contract: of the network.
        streams: name of each stream -> its logits.
        target: the runtime that the graphs are for.
        parts: float32 graphs, each behind those that it needs.
        clips: that calibrate and that judge, where there are any.
        judges: the latter.
        judging: their inputs, loaded once.
    """

    def __init__(self, bundle: Bundle, request: Request, progress: Progress) -> None:
        """Check what can be checked before any work.

        Raises:
            UsageError: the target has no such precision, the runtime that is to judge does not compute it, or there are
                no clips to calibrate with.
            BundleError: the bundle is not what its manifest says.
            DataError: clips cannot be read, or calibration clips show what is judged.
            MissingRequirementError: the runtime that judges is not installed.
        """
        self.bundle, self.request, self.progress = bundle, request, progress
        self.contract = bundle.contract
        self.streams = streams_of(self.contract)
        self.target = target_named(bundle.manifest.target)
        if Precision.BF16 in request.precisions and not self.target.bf16:
            raise UsageError(
                f"graphs for {bundle.manifest.target} have no bfloat16 form",
                hint="export with --target tensorrt, or use --fp16",
            )
        self._judges = {precision: self._judge(precision) for precision in request.precisions}
        require_whole(bundle)
        names = [name for wave in self.contract.waves for name in wave]
        names += [name for name in self.contract.parts if name not in names]
        float32 = sum(bundle.part_path(part).stat().st_size for part in names)
        require_place(bundle.path, float32 * len(request.precisions))
        self.parts = {part: onnx.load(bundle.part_path(part)) for part in names}
        self._golden = load_golden(bundle)
        self.clips = self._choose()
        self.judges: Chosen | None = self.clips.evaluation if self.clips else None
        self.judging = ReusedClips(self.judges) if self.judges else None

    def judge(self, precision: Precision) -> Execution:
        """Where graphs of a precision are judged."""
        return self._judges[precision]

    @property
    def recognizer(self) -> onnx.ModelProto:
        """The float32 graph of the whole network."""
        return self.parts[WHOLE]

    @cached_property
    def golden_clip(self) -> dict[str, Array]:
        """The network's inputs, one clip."""
        return {name: np.ascontiguousarray(self._golden[name][:1]) for name in self.contract.inputs}

    @cached_property
    def overflow(self) -> dict[str, str]:
        """Nodes that float16 cannot hold, by a scan of the golden and of a few calibration clips; each with why."""
        clips: list[Mapping[str, Array]] = [{name: self._golden[name] for name in self.contract.inputs}]
        if self.clips:
            calibration = self.clips.calibration
            few = Chosen(calibration.source, calibration.indices[:_SCANNED_CLIPS])
            clips += [clip.inputs for clip in few.load()]
        self.progress(f"scanning the ranges of all tensors on {len(clips)} clips")
        return overflowing_nodes(self.recognizer, clips)

    def checked(self, parts: Mapping[str, onnx.ModelProto], precision: Precision) -> Graphs:
        """The parts with their metadata, valid, and what they give on the golden clip.

        Raises:
            GateError: an output is not finite, or the parts compute something else than the recognizer.
        """
        checked = {}
        for part, graph in parts.items():
            metadata = replace(PartMetadata.of(self.parts[part]), precision=str(precision))
            checked[part] = metadata.stamped(graph)
            onnx.checker.check_model(checked[part], full_check=True)
        clip = {name: self._golden[name] for name in self.contract.inputs}
        return with_golden(checked, precision, self.judge(precision), clip)

    def golden_error(self, graphs: Graphs) -> dict[str, float]:
        """How far each output ('part -> output') of a lower precision is from float32's, relative to its range."""
        errors = {}
        for label in graphs.rounding:
            name = label.rpartition(" -> ")[2]
            errors[label] = compare(self._golden[name], graphs.outputs[name]).relative
        return errors

    def judged_logits(self, recognizer: onnx.ModelProto, execution: Execution) -> dict[str, Logits]:
        """Logits of every stream on the judging clips."""
        assert self.judging is not None
        logits = {}
        for stream, tensor in self.streams.items():
            with open_stream(stream_graph(recognizer, tensor), execution) as session:
                logits[stream] = logits_on(session, stream, self.judging)
        return logits

    def _judge(self, precision: Precision) -> Execution:
        """The runtime that was asked for, else the target's, else the first that is here and computes the precision."""
        request = self.request
        if request.runtime is not None or request.device is not None:
            asked = request.runtime or self.target.runtime
            require(asked, request.device)
            execution = Execution(asked, request.device or RUNTIMES[asked].default_device, precision)
            if RUNTIMES[asked].builds_engines:
                raise UsageError(
                    f"{asked} runs engines, and graphs are to be judged",
                    hint="x3ddeploy verify judges the engines that build-trt makes of them",
                )
            if problem := unsupported(execution):
                raise UsageError(problem, hint="--runtime and --device name another")
            return execution
        usual = Execution(self.target.runtime, RUNTIMES[self.target.runtime].default_device, precision)
        if not unsupported(usual):
            require(usual.runtime)
            return usual
        for name in graph_runtimes():
            other = Execution(name, RUNTIMES[name].default_device, precision)
            if not unsupported(other):
                return other
        able = [name for name in RUNTIMES if not unsupported(Execution(name, RUNTIMES[name].default_device, precision))]
        hint = " or ".join(RUNTIMES[name].install for name in able)
        raise MissingRequirementError(f"no runtime is installed that computes {precision}", hint=hint)

    def _choose(self) -> ClipSets | None:
        request, contract = self.request, self.bundle.contract
        if request.random:
            return random_clips(contract, request.recipe)
        if request.recipe.data is not None:
            return choose_clips(request.recipe, contract)
        if Precision.INT8 in request.precisions:
            raise UsageError(
                "INT8 needs clips to calibrate with",
                hint="--calib PATH names a data set, an annotation pickle, a folder of .npz files or a script; "
                "--calib-random makes clips up, and marks the result as such",
            )
        return None
