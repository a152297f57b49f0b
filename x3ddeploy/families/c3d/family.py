"""C3D as a family: plain 3-D convolutions and two fully connected layers."""

from __future__ import annotations

from typing import ClassVar

from x3ddeploy.families.mmaction.family import MMActionFamily


class C3DFamily(MMActionFamily):
    """See `x3ddeploy.families.base.Family`."""

    name: ClassVar[str] = "c3d"
    title: ClassVar[str] = "C3D"
    backbones: ClassVar[tuple[str, ...]] = ("C3D",)


C3D = C3DFamily()
