"""A training run from start to end, on MMEngine's Runner."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb

from mmengine.registry.build_functions import build_from_cfg

from x3ddeploy.atomic import write_bytes
from x3ddeploy.errors import UsageError
from x3ddeploy.mmaction_compat import import_everything
from x3ddeploy.training.adapt import TrainOptions, load_config
from x3ddeploy.training.checkpoints import CheckpointHook
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
    with checkpoints_with_history(), _faults_of(config):
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


@contextmanager
def _faults_of(config: Path) -> Iterator[None]:
    """What MMEngine's registry cannot build is the config's fault. Raises UsageError."""
    try:
        yield
    except (TypeError, ValueError, KeyError, AttributeError, AssertionError) as error:
        building = [frame for frame, _ in walk_tb(error.__traceback__) if frame.f_code is build_from_cfg.__code__]
        if not building:
            raise
        asked = building[-1].f_locals["cfg"]
        what = asked.get("type") if isinstance(asked, dict) else None
        name = getattr(what, "__name__", what)
        raise UsageError(
            f"{config}: {name or 'a part of it'} cannot be made: {type(error).__name__}: {error}",
            hint="correct its arguments in the config",
        ) from error


def _keep_best(runner: TrainingRunner) -> Path | None:
    """Copy the best checkpoint, whose own name tells metric and epoch, to a name that the next command can rely on."""
    source = runner.message_hub.runtime_info.get("best_ckpt")
    if source is None or not Path(source).is_file():
        return None
    target = Path(runner.work_dir) / BEST
    if runner.rank == 0:
        write_bytes(target, Path(source).read_bytes())
    return target
