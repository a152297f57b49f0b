"""OmniSource as a family: OmniResNet on clips, and the head's classifier of videos."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from x3ddeploy.families.mmaction.family import MMActionFamily

if TYPE_CHECKING:
    from x3ddeploy.families.mmaction.building import Classes


class OmniSourceFamily(MMActionFamily):
    """See `x3ddeploy.families.base.Family`."""

    name: ClassVar[str] = "omnisource"
    title: ClassVar[str] = "OmniSource"
    recognizers: ClassVar[tuple[str, ...]] = ("RecognizerOmni",)
    backbones: ClassVar[tuple[str, ...]] = ("OmniResNet",)
    heads: ClassVar[tuple[str, ...]] = ("OmniHead",)
    fcn_test: ClassVar[bool] = False
    training_only: ClassVar[tuple[str, ...]] = ("cls_head.fc2d.",)  # the classifier of images

    def own(self) -> Classes:
        from x3ddeploy.families.omnisource.head import VideoHead

        return {"OmniHead": VideoHead}


OMNISOURCE = OmniSourceFamily()
