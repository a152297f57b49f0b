"""SlowFast as a family: a slow pathway that sees space and a fast one that sees motion, of one clip."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from x3ddeploy.families.mmaction.family import MMActionFamily

if TYPE_CHECKING:
    from torch import nn


class SlowFastFamily(MMActionFamily):
    """See `x3ddeploy.families.base.Family`."""

    name: ClassVar[str] = "slowfast"
    title: ClassVar[str] = "SlowFast"
    backbones: ClassVar[tuple[str, ...]] = ("ResNet3dSlowFast",)
    heads: ClassVar[tuple[str, ...]] = ("SlowFastHead",)
    features: ClassVar[tuple[str, ...]] = ("slow_feat", "fast_feat")

    def blocks(self, backbone: nn.Module) -> dict[str, nn.Module]:
        """A pathway gives a tensor to the other after each stage: only what lies between gives one alone."""
        return {
            f"{pathway}.{name}": block
            for pathway, path in backbone.named_children()
            for name, block in super(SlowFastFamily, self).blocks(path).items()
            if not name.endswith("_lateral")
        }


SLOWFAST = SlowFastFamily()
