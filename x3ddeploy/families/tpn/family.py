"""TPN as a family: a temporal pyramid over the last stages of SlowOnly or TSM."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from x3ddeploy.contract import Input
from x3ddeploy.errors import CheckpointError
from x3ddeploy.families.base import Wishes
from x3ddeploy.families.mmaction.family import MMActionFamily
from x3ddeploy.families.mmaction.model import BACKBONE
from x3ddeploy.families.mmaction.training_config import Described
from x3ddeploy.terms import Target

if TYPE_CHECKING:
    from torch import Tensor

    from x3ddeploy.families.mmaction.network import MMActionNetwork
    from x3ddeploy.families.network import Network
    from x3ddeploy.lowering.rewrite import Rewrite


class TPNFamily(MMActionFamily):
    """See `x3ddeploy.families.base.Family`."""

    name: ClassVar[str] = "tpn"
    title: ClassVar[str] = "TPN"
    recognizers: ClassVar[tuple[str, ...]] = ("Recognizer3D", "Recognizer2D")
    backbones: ClassVar[tuple[str, ...]] = ("ResNet3dSlowOnly", "ResNetTSM")
    necks: ClassVar[tuple[str, ...]] = ("TPN",)
    heads: ClassVar[tuple[str, ...]] = ("TPNHead",)
    # "Fully convolutional" its head pools first all the same: the same weights as a 1 x 1 x 1 convolution on one value.
    fcn_test: ClassVar[bool] = False

    def inputs(self, said: Described, wishes: Wishes, channels: int) -> dict[str, Input]:
        inputs = super().inputs(said, wishes, channels)
        views = max(value.views.count for value in inputs.values())
        if said.recognizer == "Recognizer2D" and views > 1 and not said.fcn_test:
            raise CheckpointError(
                f"model.test_cfg.fcn_test is not True: MMAction2's pyramid then takes the {views} views of a video for "
                "one clip",
                hint="its own configs set it; a test pipeline of one view does without",
            )
        return inputs

    def rewrites(self, part: str, network: MMActionNetwork, target: Target) -> Iterable[Rewrite]:
        from x3ddeploy.families.tsm.shift import SHIFT_AS_SLICES

        return (SHIFT_AS_SLICES,) if part == BACKBONE else ()

    def restore(self, model: Mapping[str, Any], fusion: tuple[float, ...], weights: Mapping[str, Tensor]) -> Network:
        """See `x3ddeploy.families.base.Family`; the neck's auxiliary head is of training alone, and in no graph."""
        from x3ddeploy.families.mmaction.restore import fill

        network = self.build(model, fusion)
        network.get_submodule("neck").aux_head = None  # type: ignore[assignment]
        fill(network, weights)
        return network


TPN = TPNFamily()
