"""R(2+1)D as a family: 3-D convolutions as one over space and one over time."""

from __future__ import annotations

from typing import ClassVar

from x3ddeploy.families.mmaction.family import MMActionFamily


class R2Plus1DFamily(MMActionFamily):
    """See `x3ddeploy.families.base.Family`."""

    name: ClassVar[str] = "r2plus1d"
    title: ClassVar[str] = "R(2+1)D"
    backbones: ClassVar[tuple[str, ...]] = ("ResNet2Plus1d",)


R2PLUS1D = R2Plus1DFamily()
