"""A training run from start to end, on MMEngine's Runner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from x3ddeploy.atomic import write_bytes
from x3ddeploy.mmaction_compat import import_everything
from x3ddeploy.training.adapt import TrainOptions, load_config
from x3ddeploy.training.best import CheckpointHook
from x3ddeploy.training.divergence import last_checkpoint
from x3ddeploy.training.loading import checkpoints_with_history
from x3ddeploy.training.result import TrainResult as TrainResult
from x3ddeploy.training.runner import TrainingRunner

BEST = "best.pth"


def train(config: Path, options: TrainOptions, launcher: str, report: Callable[[str], None]) -> TrainResult:
    """Train as the config says, and leave checkpoints that `x3ddeploy export` reads.

    Args:
        config: MMEngine's kind; executed.
        options: what the command line adds.
        launcher: 'none', or 'pytorch' inside of a process group.
        report: takes a line for the user.

    Raises:
        UsageError: the config or the options make no sense.
        DataError: annotations or videos are missing or damaged.
        CheckpointError: what is to be resumed or loaded is no safe checkpoint.
        DivergedError: the run was stopped; the message says what was seen and where the last checkpoint is.
    """
    import_everything()
    settings = load_config(config, options, report)
    settings.launcher = launcher
    with checkpoints_with_history():
        runner = TrainingRunner.from_cfg(settings)
        try:
            runner.train()
        finally:
            best = _keep_best(runner)
    last = last_checkpoint(Path(runner.work_dir))
    score = runner.message_hub.runtime_info.get("best_score")
    return TrainResult(
        work_dir=str(runner.work_dir),
        epochs=runner.epoch,
        last=str(last) if last else None,
        best=str(best) if best else None,
        best_score=None if score is None else float(score),
        monitored=next((hook.monitored for hook in runner.hooks if isinstance(hook, CheckpointHook)), None),
        onnx=runner.message_hub.runtime_info.get("onnx", {}),
    )


def _keep_best(runner: TrainingRunner) -> Path | None:
    """Copy the best checkpoint, whose own name tells metric and epoch, to a name that the next command can rely on."""
    source = runner.message_hub.runtime_info.get("best_ckpt")
    if source is None or not Path(source).is_file():
        return None
    target = Path(runner.work_dir) / BEST
    if runner.rank == 0:
        write_bytes(target, Path(source).read_bytes())
    return target
