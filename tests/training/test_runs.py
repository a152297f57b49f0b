"""Whole runs of the tiny config on a few clips: checkpoints, resuming, several processes, divergence, bad data."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from mmengine.hooks import CheckpointHook as MMEngineHook
from support import command
from support.documents import of_its_type
from support.present import of_type
from support.training_data import TINY, on, small_data

import x3ddeploy
from x3ddeploy.child_process import run_in_child
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.families.base import Wishes
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D
from x3ddeploy.loading import load_network
from x3ddeploy.mmaction_compat import import_everything

import_everything()
# A training imports these as it begins, a second for each process of a run; here its children have them from the start.
import matplotlib.pyplot  # noqa: E402, F401
import torch._dynamo  # noqa: E402

from x3ddeploy.registry import HOOKS  # noqa: E402
from x3ddeploy.training.adapt import TrainOptions, load_config  # noqa: E402
from x3ddeploy.training.checkpoints import FUSED_TOP1, CheckpointHook  # noqa: E402
from x3ddeploy.training.divergence import DivergedError  # noqa: E402
from x3ddeploy.training.train import train  # noqa: E402

HALF_BATCHES = "train_dataloader.batch_size=4"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "synth")


def run(data, work_dir, *overrides, config=TINY, **options):
    return train(config, TrainOptions(work_dir, overrides=[*on(data), *overrides], **options), "none", print)


def losses(work_dir):
    lines = [line for file in sorted(work_dir.glob("2*/vis_data/scalars.json")) for line in file.open()]
    return {row["iter"]: row["loss"] for row in map(json.loads, lines) if "loss" in row}


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp("runs") / "whole"
    return run(data, work_dir), work_dir


def test_a_trained_checkpoint_is_exported_without_options(uninterrupted):
    result, work_dir = uninterrupted
    assert result.epochs == 2
    assert result.last == str(work_dir / "epoch_2.pth")
    loaded = load_network(work_dir / "best.pth")
    spec = of_type(TwoStreamX3D, loaded.network).spec
    assert (spec.head.classes, spec.head.coarse_classes, spec.rgb_input.frames, spec.pose_input.height) == (
        12,
        6,
        4,
        16,
    )
    known = ("weights", "checkpoint config", "derived", "default of")
    assert not [origin for origin in loaded.origins.values() if not origin.startswith(known)]
    assert result.best_score == pytest.approx(_best_in_logs(work_dir), abs=1e-4)
    assert result.monitored == FUSED_TOP1


def _best_in_logs(work_dir):
    rows = map(json.loads, next(work_dir.glob("2*/vis_data/scalars.json")).open())
    return max(row[FUSED_TOP1] for row in rows if FUSED_TOP1 in row)


def test_a_resumed_run_gives_the_same_numbers(data, uninterrupted, tmp_path):
    _, work_dir = uninterrupted
    run(data, tmp_path, resume=str(work_dir / "epoch_1.pth"))
    whole, resumed = losses(work_dir), losses(tmp_path)
    assert resumed == {iteration: loss for iteration, loss in whole.items() if iteration > len(whole) // 2}
    expected, actual = (torch.load(path / "epoch_2.pth", weights_only=False) for path in (work_dir, tmp_path))
    for name, value in expected["state_dict"].items():
        assert torch.equal(value, actual["state_dict"][name]), name


def _as_torchrun(data, work_dir):
    """The verb in two processes of one run; what the first says.

    They are no copies of this process, whose threads, of PyTorch and of the runtimes, would be missing in them.
    """
    arguments = ("train", TINY, "--work-dir", work_dir, "--json", "--cfg-options", *on(data), HALF_BATCHES)
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # torchrun's, on a port of its own
    of_run = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}

    def finished(rank):
        environment = {**of_run, "TORCHELASTIC_USE_AGENT_STORE": "True", "RANK": rank, "LOCAL_RANK": rank}
        request = {"arguments": list(map(str, arguments)), "environment": environment}
        task = f"{command.__name__}:{command.run_as_task.__name__}"
        return subprocess.CompletedProcess(**run_in_child(task, request, f"rank {rank}", lambda text: None))

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(finished, ("0", "1"))
    for process in (first, second):
        assert process.returncode == 0, process.stderr
    assert second.stdout == ""  # one process reports
    return first.stdout


def _by_torchrun(data, work_dir):
    process = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"),
            *("-m", "x3ddeploy", "train", TINY, "--work-dir", work_dir, "--json"),
            *("--cfg-options", *on(data), HALF_BATCHES),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout


# torchrun itself imports everything three times.
@pytest.mark.parametrize("start", [_as_torchrun, pytest.param(_by_torchrun, marks=pytest.mark.families)])
def test_two_processes_have_the_loss_curve_of_one_with_the_same_total_batch(data, uninterrupted, tmp_path, start):
    _, work_dir = uninterrupted
    assert of_its_type("train", start(data, tmp_path / "run"))["epochs"] == 2
    # Augmentation and dropout are the same; sums in another order differ in the last digits, which training amplifies.
    assert losses(tmp_path / "run") == pytest.approx(losses(work_dir), rel=1e-3)


def test_a_diverging_run_stops_and_names_the_last_checkpoint(data, uninterrupted, tmp_path):
    _, work_dir = uninterrupted
    checkpoint = torch.load(work_dir / "epoch_1.pth", weights_only=False)
    checkpoint["state_dict"]["pose_backbone.conv5.bn.bias"].fill_(float("nan"))
    torch.save(checkpoint, tmp_path / "poisoned.pth")
    with pytest.raises(DivergedError, match="pose_loss_cls is nan"):
        run(data, tmp_path / "run", "train_cfg.max_epochs=1", f"load_from={tmp_path / 'poisoned.pth'}")
    assert not list((tmp_path / "run").glob("epoch_*.pth"))


def test_a_checkpoint_with_code_is_not_resumed(data, tmp_path):
    torch.save({"meta": {}, "state_dict": {}, "code": os.system}, tmp_path / "code.pth")
    with pytest.raises(Exception, match="beyond weights and logs"):
        run(data, tmp_path, resume=str(tmp_path / "code.pth"))


# The original's keys, MMAction2's scope: no types of the backbones, no map of coarse classes, `save_best='auto'`.
ORIGINAL = """
default_scope = 'mmaction'
clip_len = dict(RGB=4, Pose=6)
model = dict(
    type='RGBPoseX3DRecognizer',
    rgb_backbone=dict(
        fold_div=8, gamma_b=2.25, gamma_d=2.2, gamma_w=1, in_channels=3, num_stages=4, se_ratio=0.0625,
        se_style='half', spatial_strides=(2, 2, 2, 2), use_swish=True),
    pose_backbone=dict(
        base_channels=24, conv1_stride=1, fold_div=4, gamma_d=1, in_channels=17, num_stages=3, se_ratio=0.0625,
        spatial_strides=(2, 2, 2), stage_blocks=(5, 11, 7), use_swish=True),
    cls_head=dict(
        type='RGBPoseHead', num_classes=60, num_coarse_classes=8, in_channels=[432, 216],
        loss_components=['rgb', 'pose'], loss_weights=[1.0, 1.5, 0.6, 1.2], dropout=0.5, average_clips='prob'),
    data_preprocessor=dict(
        type='RGBPoseDataPreprocessor',
        preprocessors=dict(
            imgs=dict(
                type='ActionDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                format_shape='NCTHW'),
            heatmap_imgs=dict(type='ActionDataPreprocessor'))))
left_kp, right_kp = [1, 3, 5, 7, 9, 11, 13, 15], [2, 4, 6, 8, 10, 12, 14, 16]
pipeline = [
    dict(type='MMUniformSampleFrames', clip_len=clip_len, num_clips=1),
    dict(type='MMDecode'),
    dict(type='MMCompact', hw_ratio=1., allow_imgpad=True),
    dict(type='Resize', scale=(40, 40), keep_ratio=False),
    dict(type='RandomResizedCrop', area_range=(0.56, 1.0)),
    dict(type='Resize', scale=(32, 32), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5, left_kp=left_kp, right_kp=right_kp),
    dict(type='GeneratePoseTarget', sigma=0.6, use_score=True, with_kp=True, with_limb=False, scaling=0.25),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', collect_keys=('imgs', 'heatmap_imgs'))]
train_dataloader = dict(
    batch_size=12, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='PoseDataset', ann_file='DATA/annotations.pkl', data_prefix=dict(video='DATA/videos'), split='xsub_train',
        pipeline=pipeline))
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.012), clip_grad=dict(max_norm=40, norm_type=2))
"""


def test_a_config_of_the_original_trains_unchanged(data, tmp_path):
    path = tmp_path / "original.py"
    path.write_text(ORIGINAL.replace("DATA", str(data)))
    result = train(path, TrainOptions(tmp_path / "run"), "none", print)
    assert (result.epochs, result.best) == (1, None)
    assert set(losses(tmp_path / "run")) == {1}
    network = load_network(tmp_path / "run" / "epoch_1.pth", Wishes("ntu60")).network
    assert of_type(TwoStreamX3D, network).spec.head.classes == 60


def test_averaged_weights_are_what_export_reads(data, tmp_path):
    path = tmp_path / "averaged.py"
    path.write_text(f"_base_ = [{str(TINY)!r}]\ncustom_hooks = [dict(type='EMAHook', momentum=0.5)]\n")
    run(data, tmp_path / "run", "train_cfg.max_epochs=1", config=path)
    networks = (load_network(tmp_path / "run" / "epoch_1.pth", ema=ema).network for ema in (False, True))
    averaged, last = (network.get_parameter("cls_head.fc_pose.weight") for network in networks)
    assert not torch.equal(averaged, last)


def test_missing_videos_are_named_before_training(data, tmp_path):
    with pytest.raises(DataError, match="videos of the split 'xsub_train' are missing"):
        run(data, tmp_path, f"train_dataloader.dataset.data_prefix.video={tmp_path}")


def test_an_unknown_split_is_refused_with_those_there_are(data, tmp_path):
    with pytest.raises(UsageError, match="xsub_train, xsub_val"):
        run(data, tmp_path, "train_dataloader.dataset.split=train")


def test_labels_beyond_the_head_are_refused(data, tmp_path):
    with pytest.raises(DataError, match="class 11"):
        run(data, tmp_path, "model.cls_head.num_classes=6", "model.cls_head.coarse_of=(0,1,2,3,4,5)")


@pytest.mark.parametrize("scope", ["", "default_scope = 'mmaction'\n"])
def test_a_config_of_mmaction_runs_in_our_scope(tmp_path, scope):
    path = tmp_path / "user.py"
    path.write_text(scope + "model = dict(type='RGBPoseX3DRecognizer')\ntrain_dataloader = dict(batch_size=2)\n")
    config = load_config(path, TrainOptions(), print)
    assert config.default_scope == "x3ddeploy"
    assert [hook["type"] for hook in config.custom_hooks] == ["SeedHook", "DivergenceHook"]


@pytest.mark.parametrize(
    ("metrics", "name"),
    [({"acc/rgb_top1": 0.9, FUSED_TOP1: 0.5}, FUSED_TOP1), ({"acc/top1": 0.9, "acc/top5": 1.0}, "acc/top1")],
)
def test_auto_monitors_the_fused_accuracy_where_there_is_one_and_else_the_first(tmp_path, metrics, name, monkeypatch):
    hook = HOOKS.build({"type": "CheckpointHook", "save_best": "auto"})
    assert isinstance(hook, CheckpointHook)
    assert hook.monitored == "auto"
    seen = []
    monkeypatch.setattr(MMEngineHook, "after_val_epoch", lambda self, runner, given: seen.append(next(iter(given))))
    hook.after_val_epoch(None, metrics)
    assert seen == [name]


def test_options_override_the_config(tmp_path):
    path = tmp_path / "user.py"
    path.write_text("model = dict(type='A')\ntrain_dataloader = dict(batch_size=2)\nrandomness = dict(seed=3)\n")
    options = TrainOptions(tmp_path / "w", overrides=["train_dataloader.batch_size=4", "a=[1,2]"], seed=9)
    config = load_config(path, options, print)
    assert (config.train_dataloader.batch_size, config.a, config.randomness.seed) == (4, [1, 2], 9)
    assert config.work_dir == str(tmp_path / "w")
    assert load_config(path, TrainOptions(), print).randomness.seed == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [("model = dict(", "cannot be executed"), ("a = 1", "not a training config"), (None, "no config")],
)
def test_a_config_that_is_none_is_refused(tmp_path, text, words):
    path = tmp_path / "user.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=words):
        load_config(path, TrainOptions(), print)


def test_what_a_config_names_and_nobody_can_make_is_the_configs_fault(tmp_path):
    config = Path(__file__).parents[2] / "configs" / "synth.py"
    with pytest.raises(UsageError, match=r"synth\.py: .* cannot be made: .*nonsense"):
        x3ddeploy.train(config, work_dir=tmp_path / "work", cfg_options=["default_hooks.logger.nonsense=1"])
