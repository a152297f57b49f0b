"""I3D as a family: a ResNet inflated to 3-D, with or without non-local blocks."""

from __future__ import annotations

from typing import ClassVar

from x3ddeploy.families.mmaction.family import MMActionFamily


class I3DFamily(MMActionFamily):
    """See `x3ddeploy.families.base.Family`."""

    name: ClassVar[str] = "i3d"
    title: ClassVar[str] = "I3D"
    backbones: ClassVar[tuple[str, ...]] = ("ResNet3d",)


I3D = I3DFamily()
