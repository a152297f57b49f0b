"""Which checkpoint is kept as the best, by what `save_best='auto'` means, and that no kill leaves half of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook

from x3ddeploy.registry import HOOKS
from x3ddeploy.training.whole_files import WHOLE_FILES

FUSED_TOP1 = "acc/RGBPose_1:1_top1"  # AccMetric's name of the accuracy with both streams weighted alike


@HOOKS.register_module()
class CheckpointHook(MMEngineCheckpointHook):
    """MMEngine's, with whole files, and with the fused accuracy for 'auto': the first metric is one stream's alone."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        elsewhere = named.get("backend_args") or named.get("file_client_args") or "://" in str(named.get("out_dir"))
        kept = {} if elsewhere else {"backend_args": {"backend": WHOLE_FILES}}
        super().__init__(*arguments, **{**named, **kept})

    def after_val_epoch(self, runner: Any, metrics: Mapping[str, float]) -> None:
        fused = {name: metrics[name] for name in (FUSED_TOP1,) if name in metrics}
        super().after_val_epoch(runner, {**fused, **metrics})

    @property
    def monitored(self) -> str | None:
        """The metric that decides which checkpoint is best; None where there are several or none."""
        names = self.key_indicators if self.save_best else []
        return names[0] if len(names) == 1 else None
