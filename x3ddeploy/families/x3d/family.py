"""X3D as a family: a mobile 3-D network with squeeze-and-excitation."""

from __future__ import annotations

from typing import ClassVar

from x3ddeploy.families.mmaction.family import MMActionFamily


class X3DFamily(MMActionFamily):
    """See `x3ddeploy.families.base.Family`."""

    name: ClassVar[str] = "x3d"
    title: ClassVar[str] = "X3D"
    backbones: ClassVar[tuple[str, ...]] = ("X3D",)
    heads: ClassVar[tuple[str, ...]] = ("X3DHead",)


X3D = X3DFamily()
