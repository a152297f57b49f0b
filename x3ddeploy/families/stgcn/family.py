"""Graph convolutions on skeletons as a family: ST-GCN and ST-GCN++ (one class of MMAction2's), and 2s-AGCN."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from x3ddeploy.checkpoint.rules import shown
from x3ddeploy.contract import BATCH_AXIS, Input, InputKind, Transform, Views
from x3ddeploy.errors import CheckpointError
from x3ddeploy.families.base import Wishes
from x3ddeploy.families.mmaction import pipeline
from x3ddeploy.families.mmaction.family import MMActionFamily
from x3ddeploy.families.mmaction.training_config import Described, mmaction_class
from x3ddeploy.terms import Target

if TYPE_CHECKING:
    from torch import Tensor, nn

    from x3ddeploy.families.mmaction.network import MMActionNetwork
    from x3ddeploy.families.network import Network
    from x3ddeploy.lowering.rewrite import Rewrite

# Joints of MMAction2's layouts (mmaction/models/utils/graph.py); a dict says its own.
_JOINTS = {"openpose": 18, "nturgb+d": 25, "coco": 17}
_PERSONS = 2  # FormatGCNInput's default
_OPTIONS = r"(gcn|tcn)_\w+"  # handed to every block


class StgcnFamily(MMActionFamily):
    """See `x3ddeploy.families.base.Family`."""

    name: ClassVar[str] = "stgcn"
    title: ClassVar[str] = "ST-GCN, ST-GCN++, 2s-AGCN"
    recognizers: ClassVar[tuple[str, ...]] = ("RecognizerGCN",)
    backbones: ClassVar[tuple[str, ...]] = ("STGCN", "AAGCN")
    heads: ClassVar[tuple[str, ...]] = ("GCNHead",)
    kinds: ClassVar[frozenset[InputKind]] = frozenset({InputKind.SKELETON})
    swallowed: ClassVar[Mapping[str, str]] = {"STGCN": _OPTIONS, "AAGCN": _OPTIONS}

    def inputs(self, said: Described, wishes: Wishes, channels: int) -> dict[str, Input]:
        if said.preprocessors.get("", {}).get("mean") is not None:
            raise CheckpointError("data_preprocessor.mean is set: skeletons are fed as the pipeline makes them")
        made = [Transform(mmaction_class(step.get("type")), pipeline.parameters(step)) for step in said.steps]
        steps = [step for step in made if step.type != "PackActionInputs"]
        steps = pipeline.wished_length(steps, InputKind.SKELETON, wishes.pose_frames or wishes.frames)
        parameters = {step.type: step.parameters for step in steps}
        sampled = parameters.get("UniformSampleFrames", {})
        length = sampled.get("clip_len", parameters.get("PadTo", {}).get("length"))
        persons = parameters.get(pipeline.GRAPH, {}).get("num_person", _PERSONS)
        if length is None:
            raise CheckpointError(
                f"the steps of the test pipeline are {', '.join(parameters)}",
                hint="UniformSampleFrames, or PadTo, has to say how many frames of a skeleton the network takes",
            )
        graph = said.modules["backbone"].get("graph_cfg", {})
        layout = graph.get("layout", "coco") if isinstance(graph, Mapping) else graph
        joints = layout.get("num_node") if isinstance(layout, Mapping) else _JOINTS.get(str(layout))
        shape = (
            pipeline.whole(persons, "FormatGCNInput.num_person"),
            pipeline.whole(length, "UniformSampleFrames.clip_len"),
            pipeline.whole(joints, f"number of joints of graph_cfg.layout {shown(layout)}"),
            channels,
        )
        clips = pipeline.whole(sampled.get("num_clips", 1), "UniformSampleFrames.num_clips")
        order = "coco17" if layout == "coco" else "dataset"
        value = Input(InputKind.SKELETON, (BATCH_AXIS, *shape), tuple(steps), Views(clips), keypoint_order=order)
        return {pipeline.SKELETON_INPUT: value}

    def blocks(self, backbone: nn.Module) -> dict[str, nn.Module]:
        return {f"gcn.{name}": block for name, block in backbone.get_submodule("gcn").named_children()}

    def rewrites(self, part: str, network: MMActionNetwork, target: Target) -> Iterable[Rewrite]:
        from x3ddeploy.families.stgcn.lowering import REWRITES

        return REWRITES

    def restore(self, model: Mapping[str, Any], fusion: tuple[float, ...], weights: Mapping[str, Tensor]) -> Network:
        from x3ddeploy.families.mmaction.restore import fill
        from x3ddeploy.families.stgcn.lowering import raised

        network = self.build(model, fusion)
        fill(network, {**weights, **raised(network, weights)})
        return network


STGCN = StgcnFamily()
