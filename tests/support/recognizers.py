"""Checkpoints of MMAction2's recognizers, made small from the configs of its wheel, with random weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from support.present import present
from x3ddeploy.checkpoint.config import read_config_file
from x3ddeploy.mmaction_compat import config_path, import_registry

PARTS = ("backbone", "neck", "cls_head")
_KEPT = ("model", "test_pipeline", "test_dataloader", "val_pipeline", "data_preprocessor")
_UNTRAINED = {"pretrained": None, "pretrained2d": False}


def config_of(name: str, change: Callable[[dict[str, Any]], None] = lambda config: None) -> dict[str, Any]:
    """A config of the wheel, changed; its pipelines are the top-level ones."""
    config = copy.deepcopy({key: value for key, value in read_config_file(config_path(name)).items() if key in _KEPT})
    config.pop("test_dataloader", None)
    change(config)
    return config


def modules_of(config: Mapping[str, Any], seed: int = 0) -> dict[str, nn.Module]:
    """The modules that MMAction2 itself builds of a config, in evaluation mode, with random statistics."""
    registry = import_registry()
    from mmengine.registry import DefaultScope

    torch.manual_seed(seed)
    model = config["model"]
    with DefaultScope.overwrite_default_scope("mmaction"):
        modules = {part: registry.build(untrained(model[part])) for part in PARTS if model.get(part)}
    for module in modules.values():
        module.eval()
        for name, inner in module.named_modules():
            if isinstance(inner, _BatchNorm):
                present(inner.running_mean).normal_(0, 0.1)
                present(inner.running_var).uniform_(0.5, 1.5)
                # A non-local block multiplies three features: as large as others it would leave float32's range.
                largest = 0.05 if "non_local" in name else 1.5
                nn.init.uniform_(inner.weight, largest / 3, largest)
                nn.init.normal_(inner.bias, 0, 0.1)
    return modules


def state_dict_of(modules: Mapping[str, nn.Module]) -> dict[str, torch.Tensor]:
    """Their weights by the names of a checkpoint."""
    return {f"{part}.{name}": value for part, module in modules.items() for name, value in module.state_dict().items()}


def text_of(config: Mapping[str, Any]) -> str:
    """A config as Python text."""
    return "".join(f"{name} = {value!r}\n" for name, value in config.items())


def save(path: Path, config: Mapping[str, Any], seed: int = 0) -> Path:
    """Write a checkpoint as MMEngine does."""
    torch.save({"meta": {"cfg": text_of(config)}, "state_dict": state_dict_of(modules_of(config, seed))}, path)
    return path


def untrained(value: Any) -> Any:
    """Without what downloads weights or draws them."""
    if isinstance(value, dict):
        return {
            key: _UNTRAINED[key] if key in _UNTRAINED else untrained(item)
            for key, item in value.items()
            if key != "init_cfg"
        }
    return type(value)(map(untrained, value)) if isinstance(value, (list, tuple)) else value
