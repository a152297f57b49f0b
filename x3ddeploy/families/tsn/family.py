"""TSN as a family: a 2-D backbone, and the mean over the frames of a clip.

Its head averages the features of all frames of all views before its one linear layer, which is the mean of the views'
logits: so a clip is the frames of one view, and views are averaged by 'score', whatever `average_clips` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from x3ddeploy.contract import Average
from x3ddeploy.families.mmaction.family import MMActionFamily

if TYPE_CHECKING:
    from torch import nn


class TSNFamily(MMActionFamily):
    """See `x3ddeploy.families.base.Family`."""

    name: ClassVar[str] = "tsn"
    title: ClassVar[str] = "TSN"
    recognizers: ClassVar[tuple[str, ...]] = ("Recognizer2D",)
    backbones: ClassVar[tuple[str, ...]] = ("ResNet", "MobileNetV2")
    heads: ClassVar[tuple[str, ...]] = ("TSNHead",)

    def average(self, head: nn.Module) -> Average:
        return Average.SCORE


TSN = TSNFamily()
