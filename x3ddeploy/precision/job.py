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
from x3ddeploy.calibration.choice import Chosen
from x3ddeploy.contract import WHOLE
from x3ddeploy.parity.golden import load_golden
from x3ddeploy.parity.metrics import compare
from x3ddeploy.places import require_place
from x3ddeploy.precision.golden import Graphs, with_golden
from x3ddeploy.precision.prerequisites import make_ready
from x3ddeploy.precision.request import Request
from x3ddeploy.precision.scan import overflowing_nodes
from x3ddeploy.precision.streams import Logits, ReusedClips, logits_on, open_stream, stream_graph, streams_of
from x3ddeploy.progress import Progress
from x3ddeploy.runtimes.base import Array
from x3ddeploy.runtimes.registry import Execution
from x3ddeploy.terms import Precision

_SCANNED_CLIPS = 4


class Job:
    """A bundle that is to get lower precisions, and the clips.

    Attributes:
        bundle: as it was when the command began.
        contract: contract of the network.
        streams: name of each stream -> its logits.
        target: the runtime that the graphs are for.
        parts: float32 graphs, each behind those that it needs.
        clips: clips that calibrate and that judge, where there are any.
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
        require_whole(bundle)
        ready = make_ready(bundle.manifest.target, self.contract, request)
        self.target, self._judges, self.clips = ready.target, ready.judges, ready.clips
        names = [name for wave in self.contract.waves for name in wave]
        names += [name for name in self.contract.parts if name not in names]
        float32 = sum(bundle.part_path(part).stat().st_size for part in names)
        require_place(bundle.path, float32 * len(request.precisions))
        self.parts = {part: onnx.load(bundle.part_path(part)) for part in names}
        self._golden = load_golden(bundle)
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
