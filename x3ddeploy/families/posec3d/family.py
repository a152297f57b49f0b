"""PoseC3D as a family: a slow-only 3-D network on heatmaps."""

from __future__ import annotations

from typing import ClassVar

from x3ddeploy.contract import InputKind
from x3ddeploy.families.mmaction.family import MMActionFamily


class PoseC3DFamily(MMActionFamily):
    """See `x3ddeploy.families.base.Family`."""

    name: ClassVar[str] = "posec3d"
    title: ClassVar[str] = "PoseC3D"
    backbones: ClassVar[tuple[str, ...]] = ("ResNet3dSlowOnly", "ResNet3d", "X3D")
    kinds: ClassVar[frozenset[InputKind]] = frozenset({InputKind.HEATMAPS})
    heads: ClassVar[tuple[str, ...]] = ("I3DHead", "X3DHead")


POSEC3D = PoseC3DFamily()
