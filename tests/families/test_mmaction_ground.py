"""A checkpoint of MMAction2's is understood by its config and its weights, or refused by the name of what is not."""

import sys

import numpy as np
import pytest
import torch
from support.present import present
from support.recognizers import modules_of, save, state_dict_of, text_of
from support.small_recognizers import posec3d, tsn

from x3ddeploy.contract import Activation
from x3ddeploy.errors import CheckpointError, MissingRequirementError, UsageError
from x3ddeploy.exporting.parts import build_parts
from x3ddeploy.families import family_named
from x3ddeploy.families.base import Wishes
from x3ddeploy.families.mmaction.model import packed, unpacked
from x3ddeploy.families.mmaction.training_config import described
from x3ddeploy.loading import load_network, restore_network
from x3ddeploy.runtimes.registry import open_session

pytest.importorskip("mmaction")


@pytest.fixture(scope="module")
def config():
    return posec3d()


@pytest.fixture(scope="module")
def checkpoint(config, tmp_path_factory):
    return save(tmp_path_factory.mktemp("posec3d") / "best.pth", config)


@pytest.fixture(scope="module")
def loaded(checkpoint):
    return load_network(checkpoint)


def refused(tmp_path, config, weights=None):
    """What is said of a checkpoint."""
    weights = state_dict_of(modules_of(posec3d())) if weights is None else weights
    torch.save({"meta": {"cfg": text_of(config)}, "state_dict": weights}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError) as caught:
        load_network(tmp_path / "other.pth")
    return str(caught.value)


def test_its_numbers_are_those_of_mmaction(loaded, config):
    modules = modules_of(config)
    clips = torch.rand(2, 17, 8, 24, 24)
    with torch.inference_mode():
        expected = modules["cls_head"](modules["backbone"](clips))
        given = loaded.network(heatmap_imgs=clips)
    torch.testing.assert_close(given["logits"], expected, rtol=0, atol=0)
    torch.testing.assert_close(given["scores"], expected.softmax(1))


@pytest.mark.parametrize(
    ("backbone", "head"),
    [
        ({"type": "X3D", "gamma_w": 0.4, "gamma_b": 1, "gamma_d": 0.4, "in_channels": 17}, {"type": "X3DHead"}),
        (
            {"type": "ResNet3d", "depth": 18, "base_channels": 4, "in_channels": 17, "norm_eval": True},
            {"in_channels": 32},
        ),
    ],
)
def test_other_backbones_on_heatmaps_are_of_the_same_family(tmp_path, backbone, head):
    config = posec3d()
    config["model"]["backbone"] = backbone
    config["model"]["cls_head"].update(head)
    if backbone["type"] == "X3D":
        config["model"]["cls_head"]["in_channels"] = 128
    network = load_network(save(tmp_path / "best.pth", config)).network
    modules = modules_of(config)
    clips = torch.rand(1, 17, 8, 24, 24)
    with torch.inference_mode():
        expected = modules["cls_head"](modules["backbone"](clips))
        torch.testing.assert_close(network(heatmap_imgs=clips)["logits"], expected, rtol=0, atol=0)
    assert network.family == "posec3d"


def test_a_label_of_several_classes_takes_the_sigmoid(tmp_path):
    config = posec3d()
    config["model"]["cls_head"].update(multi_class=True, loss_cls={"type": "BCELossWithLogits"})
    network = load_network(save(tmp_path / "best.pth", config)).network
    assert network.contract().outputs["logits"].activation is Activation.SIGMOID
    with torch.inference_mode():
        given = network(heatmap_imgs=torch.rand(1, 17, 8, 24, 24))
    torch.testing.assert_close(given["scores"], given["logits"].sigmoid())
    assert not [key for key in network.model["modules"]["cls_head"]["arguments"] if key.startswith("loss")]


def test_each_value_tells_where_it_comes_from(loaded):
    values = family_named("posec3d").values(loaded.network.model)
    assert loaded.network.family == "posec3d"
    assert (values["backbone.base_channels"], loaded.origins["backbone.base_channels"]) == ("4", "checkpoint config")
    assert (values["backbone.with_pool1"], loaded.origins["backbone.with_pool1"]) == ("True", "default of ResNet3d")
    assert (values["cls_head.multi_class"], loaded.origins["cls_head.multi_class"]) == ("False", "default of BaseHead")
    assert loaded.origins["average"] == "checkpoint config"
    assert set(loaded.origins) == set(values)


def test_a_head_that_says_nothing_of_averaging_has_its_class_default(tmp_path, config):
    del config["model"]["cls_head"]["average_clips"]
    try:
        loaded = load_network(save(tmp_path / "best.pth", config))
    finally:
        config["model"]["cls_head"]["average_clips"] = "prob"
    assert (loaded.network.model["average"], loaded.origins["average"]) == ("none", "default of BaseHead")


def test_a_bare_state_dict_takes_a_config_file(tmp_path, config, loaded):
    weights = {f"module.{name}": value.half() for name, value in state_dict_of(modules_of(config)).items()}
    torch.save(weights, tmp_path / "bare.pth")
    (tmp_path / "config.py").write_text(text_of(config))
    with pytest.raises(CheckpointError, match="--config"):
        load_network(tmp_path / "bare.pth")
    bare = load_network(tmp_path / "bare.pth", Wishes(config=str(tmp_path / "config.py")))
    assert bare.network.model == loaded.network.model
    assert bare.origins["backbone.depth"] == f"config {tmp_path / 'config.py'}"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("model.backbone.attention", True, "model.backbone.attention = True: ResNet3dSlowOnly takes no such argument"),
        ("model.backbone.norm_cfg", {"type": "BN3d", "epsilon": 1}, "model.backbone.norm_cfg.epsilon"),
        ("model.backbone.depth", 51, "model.backbone, ResNet3dSlowOnly: 'invalid depth 51"),
        ("model.cls_head.temperature", 2.0, "model.cls_head.temperature = 2.0"),
        ("model.postprocess", {}, "model.postprocess"),
        ("model.test_cfg", {"feature_extraction": True}, "model.test_cfg.feature_extraction"),
        ("model.data_preprocessor", {"type": "ActionDataPreprocessor", "to_rgb": True}, "to_rgb = True"),
        ("model.backbone._scope_", "mmpretrain", "model.backbone._scope_ = 'mmpretrain': classes of another package"),
        ("default_scope", "mmdet", "default_scope = 'mmdet': classes of another package"),
        ("test_pipeline", [], "test_pipeline is missing"),
    ],
)
def test_what_is_not_understood_is_refused_by_its_name(tmp_path, path, value, said):
    config = posec3d()
    place = config
    *before, last = path.split(".")
    for name in before:
        place = place[name]
    place[last] = value
    config["val_pipeline"] = []  # else it stands in for one that is not there
    assert said in refused(tmp_path, config)


def test_the_scope_of_our_own_trainings_is_no_other_package():
    assert described({**tsn(), "default_scope": "x3ddeploy"}, "config").recognizer == "Recognizer2D"


def test_a_model_that_says_it_has_no_preprocessor_is_given_no_other():
    """As MMEngine's Runner does, which takes the one beside the model only where the model has no such key."""
    beside = {"type": "ActionDataPreprocessor", "mean": [1, 2, 3], "std": [4, 5, 6]}
    config = {**tsn(), "data_preprocessor": beside}
    del config["model"]["data_preprocessor"]
    assert described(config, "config").preprocessors == {"": beside}
    config["model"]["data_preprocessor"] = None
    assert described(config, "config").preprocessors == {}


def test_a_value_that_is_no_literal_is_refused_by_its_name(tmp_path):
    text = text_of(posec3d()).replace("'base_channels': 4", "'base_channels': int('4')")
    torch.save({"meta": {"cfg": text}, "state_dict": state_dict_of(modules_of(posec3d()))}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"model\.backbone\.base_channels line 1 is not a literal"):
        load_network(tmp_path / "x.pth")


def test_a_step_of_the_pipeline_that_is_not_understood_is_named(tmp_path, checkpoint):
    config = posec3d()
    config["test_pipeline"].insert(4, {"type": "RandomRescale", "scale_range": (1, 2)})
    torch.save(
        {"meta": {"cfg": text_of(config)}, "state_dict": torch.load(checkpoint)["state_dict"]}, tmp_path / "x.pth"
    )
    with pytest.raises(Exception, match="RandomRescale"):
        load_network(tmp_path / "x.pth")


def test_weights_are_loaded_strictly(tmp_path, config):
    weights = state_dict_of(modules_of(config))
    weights["backbone.layer1.0.conv1.conv.weight"] = torch.zeros(3, 3)
    weights["neck.weight"] = weights.pop("cls_head.fc_cls.bias")
    said = refused(tmp_path, config, weights)
    assert all(
        line in said
        for line in (
            "missing: cls_head.fc_cls.bias",
            "unexpected: neck.weight",
            "another shape: backbone.layer1.0.conv1",
        )
    )


def test_a_network_of_another_package_is_not_taken_for_mmactions(tmp_path):
    config = posec3d()
    config["model"]["backbone"]["type"] = "mmpretrain.ResNet3dSlowOnly"
    assert "mmpretrain.ResNet3dSlowOnly" in refused(tmp_path, config)


def test_frames_and_size_are_the_users_to_choose(checkpoint):
    loaded = load_network(checkpoint, Wishes(frames=4, size=(32, 32)))
    value = loaded.network.contract().inputs["heatmap_imgs"]
    assert value.clip_shape == (17, 4, 32, 32)
    assert present(value.transform("Resize")).parameters["scale"] == [-1, 32]
    with pytest.raises(UsageError, match="CenterCrop cuts squares"):
        load_network(checkpoint, Wishes(size=(32, 16)))
    assert loaded.origins["heatmap_imgs.shape"] == "option"
    with pytest.raises(UsageError, match="2 weights"):
        load_network(checkpoint, Wishes(fusion=(1.0, 2.0)))


def test_a_graph_gives_the_training_form_back_and_needs_mmaction_for_it_alone(loaded, monkeypatch):
    graph = build_parts(loaded.network, "onnxruntime", None, "0" * 64)["recognizer"]
    clips = torch.rand(3, 17, 8, 24, 24)
    with torch.inference_mode():
        expected = loaded.network(heatmap_imgs=clips)["logits"]
        restored = restore_network(graph)(heatmap_imgs=clips)["logits"]
    torch.testing.assert_close(restored, expected, rtol=1e-5, atol=1e-6)
    assert not [node.op_type for node in graph.graph.node if node.op_type in ("BatchNormalization", "Mul", "Shape")]
    for name in [name for name in sys.modules if name.partition(".")[0] == "mmaction"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mmaction", None)
    contract = family_named("posec3d").contract(loaded.network.model, (1.0,), None)
    assert contract == loaded.network.contract()
    session = open_session("onnxruntime", graph.SerializeToString())
    np.testing.assert_allclose(session.run({"heatmap_imgs": clips.numpy()})["logits"], expected, atol=1e-5)
    with pytest.raises(MissingRequirementError, match="MMAction2"):
        restore_network(graph)


def test_tuples_stay_tuples():
    value = {"stages": (1, (2, 3)), "names": ["a", {"b": (4,)}]}
    assert unpacked(packed(value)) == value
    assert isinstance(unpacked(packed([(1,), [2]]))[1], list)
