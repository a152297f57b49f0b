"""2-D recognizers of MMAction2's: the same logits, and the same scores over a video's views, as its own recognizers."""

import collections
import importlib

import numpy as np
import pytest
import torch
from support.own_test_loop import listed_videos, scored_by_mmaction
from support.recognizers import modules_of, save, state_dict_of, text_of
from support.small_recognizers import c2d, tanet, trn, tsm, tsn

from x3ddeploy.contract import Average, Views
from x3ddeploy.data.sources import open_source
from x3ddeploy.errors import CheckpointError
from x3ddeploy.evaluation.metrics import confusion_matrix, mean1, top_k_accuracy
from x3ddeploy.evaluation.scores import VideoScores, averaged
from x3ddeploy.exporting.parts import build_parts
from x3ddeploy.loading import load_network
from x3ddeploy.lowering.rewrite import relative_error
from x3ddeploy.mmaction_compat import import_everything
from x3ddeploy.runtimes.registry import open_session

pytest.importorskip("mmaction")

CONFIGS = {"tsn": tsn, "tsm": tsm, "c2d": c2d, "tanet": tanet, "trn": trn}


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recognizers")
    return {name: load_network(save(folder / f"{name}.pth", config())).network for name, config in CONFIGS.items()}


def scored(rows, contract):
    """Scores of one video, of its views' logits."""
    averages = {"logits": averaged(rows, contract.outputs["logits"])}
    return VideoScores(averages, contract.outputs).of(contract.scores[contract.deployed])


def by_mmaction(config, views):
    """Scores of one video by MMAction2's own recognizer, as its test loop asks for them: all views at once."""
    model = importlib.import_module("mmaction.registry").MODELS.build(
        {
            "type": config["model"]["type"],
            "backbone": {"type": "ResNet", "depth": 18},
            "data_preprocessor": torch.nn.Identity(),
        }
    )
    modules = modules_of(config)
    model.backbone, model.cls_head = modules["backbone"], modules["cls_head"]
    sample = importlib.import_module("mmaction.structures").ActionDataSample()
    flat = views.reshape(1, -1, *views.shape[2:]) if config["model"]["type"] == "Recognizer2D" else views[None]
    np.random.seed(0)  # TRN draws its relations
    with torch.inference_mode():
        (found,) = model.eval().predict(flat, [sample])
    return found.pred_score.numpy()


@pytest.mark.parametrize(
    ("name", "shape", "views", "average"),
    [
        ("tsn", (3, 3, 32, 32), Views(1, 5, True), Average.SCORE),
        ("tsm", (4, 3, 32, 32), Views(2, 3), Average.PROB),
        ("c2d", (3, 4, 32, 32), Views(2, 3), Average.PROB),
        ("tanet", (4, 3, 32, 32), Views(), Average.PROB),
        ("trn", (5, 3, 32, 32), Views(2, 3), Average.PROB),
    ],
)
def test_a_videos_scores_are_those_of_mmactions_recognizer(networks, name, shape, views, average):
    contract = networks[name].contract()
    value, logits = contract.inputs["imgs"], contract.outputs["logits"]
    assert (networks[name].family, value.clip_shape, value.views, logits.average) == (name, shape, views, average)
    rows = torch.randn(views.count, *shape)
    rows[:, 0] += torch.linspace(-2, 2, views.count)[:, None, None, None]  # views that are not alike
    with torch.inference_mode():
        given = scored(networks[name](imgs=rows)["logits"].numpy(), contract)[0]
    expected = by_mmaction(CONFIGS[name](), rows)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(given, expected, rtol=2e-5)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return listed_videos(tmp_path_factory.mktemp("videos"))


@pytest.mark.parametrize("name", ["tsn", "tsm", "c2d"])
def test_a_list_of_videos_is_scored_as_mmactions_test_loop_does(networks, videos, name):
    pytest.importorskip("decord")
    import_everything()
    contract = networks[name].contract()
    source = open_source(videos / "val.txt", contract)
    with torch.inference_mode():
        views = [torch.from_numpy(clip.inputs["imgs"]) for clip in map(source.load, range(len(source)))]
        logits = [networks[name](imgs=rows)["logits"].numpy() for rows in views]
    centre = np.concatenate(logits).mean(0)  # a network that was not trained takes every video for one class
    scores = np.concatenate([scored(rows - centre, contract) for rows in logits])
    expected, metrics = scored_by_mmaction(CONFIGS[name](), videos, centre)
    np.testing.assert_allclose(scores, expected, rtol=1e-4)
    assert len(set(scores.argmax(1))) > 1
    labels = np.array(source.labels())
    confusions = confusion_matrix(scores.argmax(1), labels, 5)
    given = {"top1": top_k_accuracy(scores, labels, 1), "top5": top_k_accuracy(scores, labels, 5)}
    assert {**given, "mean1": mean1(confusions)} == metrics


@pytest.mark.parametrize("name", CONFIGS)
def test_a_graph_computes_what_the_network_does_and_no_shapes(networks, name):
    network = networks[name]
    graph = build_parts(network, "onnxruntime", None, "0" * 64)["recognizer"]
    clips = torch.randn(3, *network.contract().inputs["imgs"].clip_shape)
    lit = torch.zeros_like(clips)
    lit[1, -1, 0, 5, 7] = 1
    session = open_session("onnxruntime", graph.SerializeToString())
    for value in (clips, lit):
        with torch.inference_mode():
            expected = network(imgs=value)["logits"].numpy()
        given = session.run({"imgs": value.numpy()})["logits"]
        np.testing.assert_allclose(given, expected, atol=2e-6 * float(np.abs(expected).max()), rtol=1e-5)
    counted = collections.Counter(node.op_type for node in graph.graph.node)
    assert not counted.keys() & {"Shape", "ConstantOfShape", "ScatterND", "BatchNormalization"}
    if name == "tsm":
        assert counted["Slice"] == 3 * 8  # of eight shifts


SHIFTS = [(8, 8, 3), (4, 8, 3), (2, 8, 3), (1, 8, 3), (3, 16, 5), (4, 3, 8)]


@pytest.mark.parametrize(("frames", "channels", "division"), SHIFTS)
def test_the_shift_as_slices_is_exact(frames, channels, division):
    from mmaction.models.backbones.resnet_tsm import TemporalShift

    from x3ddeploy.families.tsm.shift import SHIFT_AS_SLICES

    shift = TemporalShift(torch.nn.Identity(), frames, division)
    lit = torch.zeros(3 * frames, channels, 2, 2)
    lit[frames, 0] = 1  # the first frame of the second clip must not reach the first one
    inputs = [torch.randn(2 * frames, channels, 5, 3), torch.randn(frames, channels, 1, 1), lit, lit.flip(0, 1)]
    assert relative_error(shift, SHIFT_AS_SLICES.apply(shift), inputs) == 0


def test_relations_are_drawn_once_and_the_user_is_told(networks, tmp_path):
    trained = load_network(save(tmp_path / "trn.pth", trn()))
    assert "drawn once" in trained.notes[0]
    clips = torch.randn(2, 5, 3, 32, 32)
    with torch.inference_mode():
        first, second = trained.network(imgs=clips)["logits"], trained.network(imgs=clips)["logits"]
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_non_local_blocks_on_clips_of_fixed_length_are_exact():
    from mmaction.models.backbones.resnet_tsm import NL3DWrapper

    from x3ddeploy.families.tsm.shift import NON_LOCAL_OF_CLIPS

    block = torch.nn.Identity()
    block.conv3 = torch.nn.Module()
    block.conv3.norm = torch.nn.BatchNorm2d(8)
    for mode in ("gaussian", "embedded_gaussian", "dot_product"):
        wrapped = NL3DWrapper(block, 4, {"sub_sample": True, "norm_cfg": {"type": "BN3d"}, "mode": mode}).eval()
        torch.nn.init.normal_(
            wrapped.non_local_block.conv_out.bn.weight
        )  # zero when made: nothing would be attended to
        inputs = [torch.randn(8, 8, 4, 4), torch.randn(4, 8, 6, 2)]
        assert relative_error(wrapped, NON_LOCAL_OF_CLIPS.apply(wrapped), inputs) == 0


def test_a_video_with_more_segments_than_the_head_takes_has_more_views(tmp_path):
    value = load_network(save(tmp_path / "a.pth", tsm(num_clips=8))).network.contract().inputs["imgs"]
    assert (value.clip_shape, value.views) == ((4, 3, 32, 32), Views(4, 3))
    torch.save(
        {"meta": {"cfg": text_of(tsm(num_clips=3))}, "state_dict": state_dict_of(modules_of(tsm()))}, tmp_path / "b.pth"
    )
    with pytest.raises(CheckpointError, match="draws 6 frames of a video, and the network takes 4 together"):
        load_network(tmp_path / "b.pth")


def test_a_pipeline_that_decodes_key_frames_alone_is_refused(tmp_path):
    config = tsn()
    decode = next(step for step in config["test_pipeline"] if step["type"] == "DecordDecode")
    decode["mode"] = "efficient"
    with pytest.raises(CheckpointError, match=r"DecordDecode.mode = 'efficient'"):
        load_network(save(tmp_path / "a.pth", config))
    decode["mode"] = "accurate"
    load_network(save(tmp_path / "b.pth", config))
