"""A user's training config, made to run here: our registry scope, the command's options, what this machine lacks."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, DictAction

from x3ddeploy.errors import MissingRequirementError, UsageError
from x3ddeploy.registry import SCOPE
from x3ddeploy.training.divergence import last_checkpoint

_FOREIGN_SCOPES = (None, "mmaction", "mmengine")
_GUARDS = ("SeedHook", "DivergenceHook")
_TENSORBOARD = "TensorboardVisBackend"


@dataclass(frozen=True)
class TrainOptions:
    """What the command line adds to a config.

    Attributes:
        work_dir: where checkpoints and logs go; default: the config's, else work_dirs/<config's name>.
        resume: a checkpoint to go on from; 'auto' for the last one in the work directory, None to start anew.
        amp: mixed precision.
        overrides: KEY=VALUE as MMAction2's --cfg-options takes them.
        seed: default: the config's, else 0, so that two runs are alike and one can be resumed.
    """

    work_dir: Path | None = None
    resume: str | None = None
    amp: bool = False
    overrides: Sequence[str] = ()
    seed: int | None = None


def load_config(path: Path, options: TrainOptions, report: Callable[[str], None]) -> Config:
    """Execute the config file, as MMEngine does, and fit it to this machine and the options.

    Raises:
        UsageError: the file is missing or fails, or options do not fit it.
        MissingRequirementError: mixed precision without a GPU.
    """
    config = _executed(path, options.overrides)
    if config.get("default_scope") in _FOREIGN_SCOPES:
        config.default_scope = SCOPE
    default = Path("work_dirs") / path.stem
    config.work_dir = str(options.work_dir or config.get("work_dir") or default)
    config.randomness = {"seed": 0, **(config.get("randomness") or {})}
    if options.seed is not None:
        config.randomness.seed = options.seed
    if options.amp:
        _mixed_precision(config)
    if options.resume is not None:
        _resume(config, options.resume, report)
    if config.get("custom_hooks") is None:
        config.custom_hooks = []
    present = {hook.get("type") for hook in config.custom_hooks}
    config.custom_hooks.extend({"type": guard} for guard in _GUARDS if guard not in present)
    _without_absent_tensorboard(config, report)
    return config


def _executed(path: Path, overrides: Sequence[str]) -> Config:
    try:
        config = Config.fromfile(str(path))
        if overrides:
            config.merge_from_dict(_parsed(overrides))
    except FileNotFoundError as error:
        raise UsageError(f"there is no config {error.filename or path}", hint="check the path") from error
    except Exception as error:  # the file is a program: it may raise anything
        raise UsageError(f"config {path} cannot be executed: {type(error).__name__}: {error}") from error
    if "model" not in config or "train_dataloader" not in config:
        raise UsageError(f"{path} is not a training config: it has no `model` or no `train_dataloader`")
    return config


def _parsed(overrides: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE with MMEngine's reading of values: numbers, booleans, lists, tuples, else text."""
    for override in overrides:
        if "=" not in override:
            raise UsageError(f"{override!r} is not of the form KEY=VALUE")
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=DictAction)
    parsed: dict[str, Any] = parser.parse_args(["--cfg-options", *overrides]).cfg_options
    return parsed


def _mixed_precision(config: Config) -> None:
    if not torch.cuda.is_available():
        raise MissingRequirementError("--amp needs a GPU, and PyTorch finds none", hint="train without --amp")
    config.optim_wrapper["type"] = "AmpOptimWrapper"
    config.optim_wrapper.setdefault("loss_scale", "dynamic")


def _resume(config: Config, resume: str, report: Callable[[str], None]) -> None:
    config.resume = True
    if resume == "auto":
        last = last_checkpoint(Path(config.work_dir))
        if last is None:
            report(f"there is no checkpoint in {config.work_dir}: training begins")
        config.resume, config.load_from = last is not None, None if last is None else str(last)
    elif Path(resume).is_file():
        config.load_from = resume
    else:
        raise UsageError(f"there is no checkpoint {resume} to resume from", hint="name a .pth file, or leave it out")


def _without_absent_tensorboard(config: Config, report: Callable[[str], None]) -> None:
    visualizer = config.get("visualizer") or {}
    backends = visualizer.get("vis_backends") or []
    if any(backend["type"] == _TENSORBOARD for backend in backends) and not _tensorboard_is_installed():
        report("TensorBoard is not installed, so no logs are written for it: pip install tensorboard")
        visualizer["vis_backends"] = [backend for backend in backends if backend["type"] != _TENSORBOARD]


def _tensorboard_is_installed() -> bool:
    return any(importlib.util.find_spec(name) is not None for name in ("tensorboard", "tensorboardX"))
