"""TANet as a family: a 2-D backbone whose temporal kernels are computed from the clip."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from x3ddeploy.families.mmaction.family import MMActionFamily
from x3ddeploy.families.mmaction.model import BACKBONE
from x3ddeploy.terms import Target

if TYPE_CHECKING:
    from x3ddeploy.families.mmaction.network import MMActionNetwork
    from x3ddeploy.lowering.rewrite import Rewrite


class TANetFamily(MMActionFamily):
    """See `x3ddeploy.families.base.Family`."""

    name: ClassVar[str] = "tanet"
    title: ClassVar[str] = "TANet"
    recognizers: ClassVar[tuple[str, ...]] = ("Recognizer2D",)
    backbones: ClassVar[tuple[str, ...]] = ("TANet",)
    heads: ClassVar[tuple[str, ...]] = ("TSMHead",)

    def rewrites(self, part: str, network: MMActionNetwork, target: Target) -> Iterable[Rewrite]:
        from x3ddeploy.families.tanet.adaptive import KERNELS_AS_BANDS

        return (KERNELS_AS_BANDS,) if part == BACKBONE else ()


TANET = TANetFamily()
