"""TSM as a family: a 2-D backbone with temporal shifts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from x3ddeploy.families.mmaction.family import MMActionFamily
from x3ddeploy.families.mmaction.model import BACKBONE
from x3ddeploy.terms import Target

if TYPE_CHECKING:
    from x3ddeploy.families.mmaction.network import MMActionNetwork
    from x3ddeploy.lowering.rewrite import Rewrite


class TSMFamily(MMActionFamily):
    """See `x3ddeploy.families.base.Family`."""

    name: ClassVar[str] = "tsm"
    title: ClassVar[str] = "TSM"
    recognizers: ClassVar[tuple[str, ...]] = ("Recognizer2D",)
    backbones: ClassVar[tuple[str, ...]] = ("ResNetTSM", "MobileNetV2TSM", "MobileOneTSM")
    heads: ClassVar[tuple[str, ...]] = ("TSMHead",)

    def rewrites(self, part: str, network: MMActionNetwork, target: Target) -> Iterable[Rewrite]:
        from x3ddeploy.families.tsm.shift import NON_LOCAL_OF_CLIPS, SHIFT_AS_SLICES

        return (NON_LOCAL_OF_CLIPS, SHIFT_AS_SLICES) if part == BACKBONE else ()


TSM = TSMFamily()
