"""Stops a run that cannot recover: losses that are not finite, a stream whose features no longer tell clips apart."""

from __future__ import annotations

import math
from collections import deque
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook

from x3ddeploy.errors import X3DDeployError
from x3ddeploy.registry import HOOKS

_HISTORY = 5
_VARIATION = "_variation"
_HINT = "lower the learning rate, lengthen the warm-up, or go on from the checkpoint with --resume"


class DivergedError(X3DDeployError):
    """A training run that was stopped because it diverged."""


@HOOKS.register_module()
class DivergenceHook(Hook):
    """Looks at what each iteration logs; the values are means over all processes, so that all stop together.

    Args:
        window: iterations in a row after which a collapsed stream is given up.
        min_variation: standard deviation over the batch of a stream's pooled features, relative to their mean
            magnitude, under which the stream counts as collapsed. A network fresh from its initialisation has
            some 1e-2; features that are all zero, or the same for every clip, have 0.
    """

    # Before the checkpoint of this iteration is written, and before the losses are logged.
    priority = "VERY_HIGH"

    def __init__(self, window: int = 200, min_variation: float = 1e-4) -> None:
        self.window = window
        self.min_variation = min_variation
        self._losses: deque[float] = deque(maxlen=_HISTORY)
        self._collapsed: dict[str, int] = {}

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        logged = {name: float(torch.as_tensor(value).detach()) for name, value in (outputs or {}).items()}
        bad = [f"{name} is {value}" for name, value in logged.items() if not math.isfinite(value)]
        if bad:
            history = ", ".join(f"{loss:.4g}" for loss in self._losses) or "none"
            raise _diverged(runner, "the loss is not finite", [*bad, f"losses before: {history}"])
        if "loss" in logged:
            self._losses.append(logged["loss"])
        variations = {
            name.removesuffix(_VARIATION): value for name, value in logged.items() if name.endswith(_VARIATION)
        }
        collapsed = {stream: value for stream, value in variations.items() if value < self.min_variation}
        self._collapsed = {stream: self._collapsed.get(stream, 0) + 1 for stream in collapsed}
        for stream, value in collapsed.items():
            if self._collapsed[stream] >= self.window:
                what = f"the {stream} branch has collapsed: its features are the same for every clip"
                seen = f"{stream}_variation {value:.1e}, for {self.window} iterations under {self.min_variation:.0e}"
                raise _diverged(runner, what, [seen])


def _diverged(runner: Any, what: str, seen: list[str]) -> DivergedError:
    rates = {f"{rate:.4g}" for values in runner.optim_wrapper.get_lr().values() for rate in values}
    checkpoint = last_checkpoint(Path(runner.work_dir))
    return DivergedError(
        f"training diverged in epoch {runner.epoch + 1}, iteration {runner.iter + 1}: {what}",
        details=[*seen, f"learning rate: {', '.join(sorted(rates))}", f"last good checkpoint: {checkpoint or 'none'}"],
        hint=_HINT,
    )


def last_checkpoint(work_dir: Path) -> Path | None:
    """The checkpoint that was written last into a work directory: the one of MMEngine's note, where it is still there.

    Else the newest: the note is written after the checkpoint, and a run that is killed just then leaves it empty.
    """
    note = work_dir / "last_checkpoint"
    path = Path(note.read_text(encoding="utf-8").strip()) if note.is_file() else None
    if path is not None and path.is_file():
        return path
    written = [file for kind in ("epoch", "iter") for file in work_dir.glob(f"{kind}_*.pth")]
    return max(written, key=lambda file: file.stat().st_mtime_ns, default=None)
