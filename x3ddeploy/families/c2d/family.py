"""C2D as a family."""

from __future__ import annotations

from typing import ClassVar

from x3ddeploy.families.mmaction.family import MMActionFamily


class C2DFamily(MMActionFamily):
    """See `x3ddeploy.families.base.Family`."""

    name: ClassVar[str] = "c2d"
    title: ClassVar[str] = "C2D"
    backbones: ClassVar[tuple[str, ...]] = ("C2D",)


C2D = C2DFamily()
