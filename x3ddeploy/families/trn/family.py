"""TRN as a family: a 2-D backbone, and a head of relations between frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from x3ddeploy.families.base import Trained, Wishes
from x3ddeploy.families.mmaction.family import MMActionFamily
from x3ddeploy.families.mmaction.model import unpacked

if TYPE_CHECKING:
    from torch import Tensor

    from x3ddeploy.families.mmaction.building import Classes

_DRAWN = (
    "MMAction2 draws TRN's relations between frames anew for every video, in testing as well; they are drawn once "
    "here, with the seed 0, so that equal videos have equal scores"
)


class TRNFamily(MMActionFamily):
    """See `x3ddeploy.families.base.Family`."""

    name: ClassVar[str] = "trn"
    title: ClassVar[str] = "TRN"
    recognizers: ClassVar[tuple[str, ...]] = ("Recognizer2D",)
    backbones: ClassVar[tuple[str, ...]] = ("ResNet", "MobileNetV2")
    heads: ClassVar[tuple[str, ...]] = ("TRNHead",)

    def own(self) -> Classes:
        from x3ddeploy.families.trn.relations import FixedTRNHead

        return {"TRNHead": FixedTRNHead}

    def load(self, weights: Mapping[str, Tensor], config: Mapping[str, Any] | None, wishes: Wishes) -> Trained:
        trained = super().load(weights, config, wishes)
        head = trained.network.model["modules"]["cls_head"]
        several = unpacked({**head["defaults"], **head["arguments"]})["relation_type"] == "TRNMultiScale"
        return replace(trained, notes=(*trained.notes, _DRAWN)) if several else trained


TRN = TRNFamily()
