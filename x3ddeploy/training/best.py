"""Which metric `save_best='auto'` means: the fused accuracy where there is one, else the first, as in MMEngine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook

from x3ddeploy.registry import HOOKS

FUSED_TOP1 = "acc/RGBPose_1:1_top1"  # AccMetric's name of the accuracy with both streams weighted alike


@HOOKS.register_module()
class CheckpointHook(MMEngineCheckpointHook):
    """MMEngine's, whose 'auto' takes the first metric: of two streams and their fusion that is one stream alone."""

    def after_val_epoch(self, runner: Any, metrics: Mapping[str, float]) -> None:
        fused = {name: metrics[name] for name in (FUSED_TOP1,) if name in metrics}
        super().after_val_epoch(runner, {**fused, **metrics})

    @property
    def monitored(self) -> str | None:
        """The metric that decides which checkpoint is best; None where there are several or none."""
        names = self.key_indicators if self.save_best else []
        return names[0] if len(names) == 1 else None
