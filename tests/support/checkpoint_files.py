"""Weights, configs and files of the `tiny` network, as training frameworks write them."""

from __future__ import annotations

import contextlib
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from x3ddeploy.families.two_stream_x3d.checkpoint import expected_shapes
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.loading import recognize

CONFIG = """
clip_len = dict(Pose=6, RGB=4)
model = dict(
    cls_head=dict(average_clips='score', in_channels=[24, 20], num_classes=6, num_coarse_classes=3, type='RGBPoseHead'),
    data_preprocessor=dict(
        preprocessors=dict(
            heatmap_imgs=dict(type='ActionDataPreprocessor'),
            imgs=dict(mean=[1.5, 2, 3], std=[4, 5.0, 6], type='ActionDataPreprocessor')),
        type='RGBPoseDataPreprocessor'),
    pose_backbone=dict(conv1_stride=1, fold_div=4, in_channels=17, spatial_strides=(2, 1), stage_blocks=(2, 2)),
    rgb_backbone=dict(conv1_stride=2, fold_div=8, in_channels=3, num_stages=2, spatial_strides=(1, 2)))
test_pipeline = [
    dict(clip_len=dict(Pose=7, RGB=5), num_clips=1, test_mode=True, type='MMUniformSampleFrames'),
    dict(type='MMDecode'),
    dict(allow_imgpad=True, hw_ratio=1.0, type='MMCompact'),
    dict(keep_ratio=False, scale=(40, 32), type='Resize'),
    dict(scaling=1 / 4, sigma=0.7, type='GeneratePoseTarget', use_score=False, with_kp=True, with_limb=False),
    dict(input_format='NCTHW', type='FormatShape'),
    dict(collect_keys=('imgs', 'heatmap_imgs'), type='PackActionInputs'),
]
"""


def tiny_weights() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(shape, generator=generator).abs() + 0.1
        for name, shape in expected_shapes(PRESETS["tiny"]).items()
    }


def trained_weights() -> dict[str, Tensor]:
    """With prototypes that serve training only."""
    return {
        **tiny_weights(),
        "cls_head.fr_coarse_rgb.spatio_cl_net.cl_fc.weight": torch.zeros(4, 24),
        "cls_head.fr_coarse_pose.spatio_cl_net.cl_fc.bias": torch.zeros(4),
    }


def saved_weights() -> dict[str, Tensor]:
    """With the BatchNorm counters that a training run saves as well."""
    weights = trained_weights()
    counters = {name.replace("running_mean", "num_batches_tracked") for name in weights if "running_mean" in name}
    return {**weights, **{name: torch.tensor(7) for name in counters}}


def save(path: Path, content: object, *, pickle_protocol: int = 2, zipped: bool = True) -> Path:
    torch.save(content, path, pickle_protocol=pickle_protocol, _use_new_zipfile_serialization=zipped)
    return path


def save_pickle(path: Path, data: bytes) -> Path:
    """A torch.save archive whose pickle is `data`."""
    with zipfile.ZipFile(save(path, {})) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, record in records.items():
            archive.writestr(name, data if name.endswith("data.pkl") else record)
    return path


def mmengine_content() -> dict[str, object]:
    """An MMEngine checkpoint's content; pickle it inside of `history_buffers()` or with mmengine installed."""
    history_buffer = sys.modules["mmengine.logging.history_buffer"].HistoryBuffer
    return {
        "meta": {"epoch": 78, "cfg": CONFIG, "dataset_meta": {"classes": ["a", "b", "c", "d", "e", "f"]}},
        "state_dict": OrderedDict(saved_weights()),
        "message_hub": {
            "log_scalars": OrderedDict({"train/loss": history_buffer([0.5, 0.25], [1, 1])}),
            "runtime_info": OrderedDict(epoch=78, best=np.float64(0.9)),
        },
        "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]},
        "param_schedulers": [{"last_step": 3}],
    }


@contextlib.contextmanager
def history_buffers() -> Iterator[None]:
    """A stand-in for mmengine's HistoryBuffer, importable inside only; it pickles as the real one does."""

    class HistoryBuffer:
        def __init__(self, log_history: list[float], count_history: list[int]) -> None:
            # The real one's state: arrays, and methods that pickle as getattr(HistoryBuffer, 'min').
            self._log_history = np.array(log_history)
            self._count_history = np.array(count_history)
            self._statistics_methods = {"min": self.min}

        def min(self) -> float:
            return float(self._log_history.min())

    HistoryBuffer.__module__, HistoryBuffer.__qualname__ = "mmengine.logging.history_buffer", "HistoryBuffer"
    names = ("mmengine", "mmengine.logging", "mmengine.logging.history_buffer")
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update({name: types.ModuleType(name) for name in names})
    vars(sys.modules[names[-1]])["HistoryBuffer"] = HistoryBuffer
    try:
        yield
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module


def read_checkpoint(path: Path, *, ema: bool = False, trust: bool = False) -> SimpleNamespace:
    """What a checkpoint holds, with the weights of its network as `state_dict`."""
    checkpoint, _, weights, notes = recognize(path, ema=ema, trust=trust)
    return SimpleNamespace(**vars(checkpoint) | {"state_dict": weights, "notes": notes})
