"""CSN as a family: a 3-D ResNet whose 3 x 3 x 3 convolutions are depthwise."""

from __future__ import annotations

from typing import ClassVar

from x3ddeploy.families.mmaction.family import MMActionFamily


class CSNFamily(MMActionFamily):
    """See `x3ddeploy.families.base.Family`."""

    name: ClassVar[str] = "csn"
    title: ClassVar[str] = "CSN"
    backbones: ClassVar[tuple[str, ...]] = ("ResNet3dCSN",)


CSN = CSNFamily()
