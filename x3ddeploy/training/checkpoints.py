"""Checkpoints as MMEngine keeps them here: whole files, old ones until a new one is there, and a copy of the best."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook

from x3ddeploy.atomic import write_bytes
from x3ddeploy.registry import HOOKS

WHOLE_FILES = "x3ddeploy.whole_files"
FUSED_TOP1 = "acc/RGBPose_1:1_top1"  # AccMetric's name of the accuracy with both streams weighted alike


@register_backend(WHOLE_FILES)
class WholeFiles(LocalBackend):
    """MMEngine's local files, but for two things that a full disk or a kill would leave half done.

    MMEngine writes a checkpoint in its place, where half of one can stay, and removes the one before it first.
    """

    # Of the whole process: MMEngine makes one of these for each call that writes.
    _outdated: ClassVar[set[Path]] = set()

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file whole, then remove what was outdated. Raises X3DDeployError where it cannot be written."""
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, obj)
        for old in self._outdated - {path}:
            old.unlink(missing_ok=True)
        self._outdated.clear()

    def remove(self, filepath: str | Path) -> None:
        """Remove a file once the next one is written."""
        self._outdated.add(Path(filepath))


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
