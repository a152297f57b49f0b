"""SlowOnly as a family: a 3-D ResNet that looks across time in its last stages."""

from __future__ import annotations

from typing import ClassVar

from x3ddeploy.families.mmaction.family import MMActionFamily


class SlowOnlyFamily(MMActionFamily):
    """See `x3ddeploy.families.base.Family`."""

    name: ClassVar[str] = "slowonly"
    title: ClassVar[str] = "SlowOnly"
    backbones: ClassVar[tuple[str, ...]] = ("ResNet3dSlowOnly",)


SLOWONLY = SlowOnlyFamily()
