"""What competitors share, made once and when the first of them needs it: networks, exports, inputs, a video."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from x3ddeploy.benchmarking.competitor import Feeds
from x3ddeploy.benchmarking.plain_export import plain_export
from x3ddeploy.benchmarking.video import VideoClip
from x3ddeploy.bundle import Bundle
from x3ddeploy.contract import WHOLE
from x3ddeploy.families.network import Network
from x3ddeploy.families.rgbposeconv3d import network as rgbposeconv3d
from x3ddeploy.loading import restore_network
from x3ddeploy.modalities.synthetic import batch_inputs
from x3ddeploy.progress import Step
from x3ddeploy.runtimes.base import Array

_SEED = 0


@dataclass(frozen=True)
class Setting:
    """What holds for all competitors of a run: clips at a time, and CPU threads of each."""

    batch: int
    threads: int


class Workbench:
    """See the module. Every attribute may raise what making it raises, each time anew."""

    def __init__(self, bundle: Bundle, setting: Setting, progress: Step) -> None:
        self.bundle, self.setting, self.progress = bundle, setting, progress
        torch.set_num_threads(setting.threads)

    def feeds(self, batch: int) -> Feeds:
        """Different synthetic clips."""
        return batch_inputs(self.bundle.contract.inputs, batch, _SEED)

    @cached_property
    def inputs(self) -> Feeds:
        """One batch for the bundle's networks."""
        return self.feeds(self.setting.batch)

    @cached_property
    def network(self) -> Network:
        """The training form, with the bundle's weights."""
        import onnx

        return restore_network(onnx.load(self.bundle.part_path(WHOLE)))

    @cached_property
    def expected(self) -> Array:
        """PyTorch's `scores` of `inputs`, which the others are compared with."""
        with torch.inference_mode():
            outputs = self.network(**{name: torch.from_numpy(value) for name, value in self.inputs.items()})
        scores: Array = outputs["scores"].numpy()
        return scores

    @cached_property
    def plain(self) -> bytes:
        """The training form by torch.onnx.export, with the exporter's default of fixed shapes."""
        self.progress("exporting the original network with torch.onnx.export")
        with torch.inference_mode():
            names = list(self.network(**{name: torch.from_numpy(value) for name, value in self.inputs.items()}))
        return plain_export(self.network, self.inputs, names)

    @cached_property
    def baseline(self) -> rgbposeconv3d.RGBPoseConv3D:
        """RGBPoseConv3D of as many classes."""
        self.progress("building RGBPoseConv3D from MMAction2's config")
        return rgbposeconv3d.build(self.bundle.contract.classes)

    @cached_property
    def baseline_inputs(self) -> dict[str, Array]:
        """Clips of its own extents."""
        return rgbposeconv3d.inputs(self.setting.batch)

    @cached_property
    def baseline_graph(self) -> bytes:
        """Its ONNX file, fixed batch."""
        network = self.baseline
        self.progress("exporting RGBPoseConv3D with torch.onnx.export")
        return plain_export(network, rgbposeconv3d.inputs(self.setting.batch), list(rgbposeconv3d.OUTPUTS))

    @cached_property
    def video(self) -> VideoClip:
        """What the scope `pipeline` starts from."""
        self.progress("making a video for the scope pipeline")
        return VideoClip(self.bundle.contract.inputs, self.setting.threads)
