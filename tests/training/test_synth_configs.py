"""configs/*_synth.py: each trains on what `x3ddeploy synth` writes, and what it trains can be exported."""

from pathlib import Path

import pytest
import torch
from mmengine.dataset import pseudo_collate
from support.training_data import ROOT, small_data

from x3ddeploy.loading import load_network
from x3ddeploy.mmaction_compat import import_everything

import_everything()

from mmengine.registry import DATASETS, DefaultScope  # noqa: E402

from x3ddeploy.registry import MODELS  # noqa: E402
from x3ddeploy.training.adapt import TrainOptions, load_config  # noqa: E402

CONFIGS = sorted((ROOT / "configs").glob("*_synth.py"))
IN_TEST = ("agcn", "epamnet", "slowonly")  # skeletons in space; classes of ours; frames of a PoseDataset


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "synth")


def _marked(path: Path):
    name = path.stem.removesuffix("_synth")
    return pytest.param(path, id=name, marks=() if name in IN_TEST else pytest.mark.families)


def test_every_family_has_one():
    from x3ddeploy.families import FAMILIES

    of_others = {"two_stream_x3d": "synth", "skeleton_streams": "stgcn_synth", "stgcn": "stgcn_synth"}
    trained = {path.stem for path in (ROOT / "configs").glob("*.py")}
    assert {of_others.get(name, f"{name}_synth") for name in FAMILIES} <= trained


@pytest.mark.parametrize("path", map(_marked, CONFIGS))
def test_a_step_is_made_and_the_checkpoint_is_of_a_known_family(data, tmp_path, path, monkeypatch):
    monkeypatch.chdir(data.parent)
    config = load_config(path, TrainOptions(), print)
    with DefaultScope.overwrite_default_scope("x3ddeploy"):
        model = MODELS.build(config.model)
        model.init_weights()
        dataset = DATASETS.build(config.train_dataloader.dataset)
        batch = model.data_preprocessor(pseudo_collate([dataset[0], dataset[1]]), True)
    loss, _ = model.parse_losses(model.train()._run_forward(batch, mode="loss"))
    loss.backward()
    assert torch.isfinite(loss)
    idle = {name for name, value in model.named_parameters() if value.grad is None}
    images = {name for name in idle if name.startswith("cls_head.fc2d.")}  # OmniSource's other half
    assert idle == images, "parameters that the loss does not reach are not trained"
    torch.save({"meta": {"cfg": config.pretty_text}, "state_dict": model.state_dict()}, tmp_path / "best.pth")
    family = load_network(tmp_path / "best.pth").network.family
    named = path.stem.removesuffix("_synth")
    assert family == {"agcn": "stgcn", "stgcnpp": "stgcn"}.get(named, named)
