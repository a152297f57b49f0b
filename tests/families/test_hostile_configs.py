"""What a config says is understood, or is one error before anything is made of it: no crash, no memory, no wait."""

import copy
import time
from itertools import product

import pytest
from support.present import present
from support.recognizers import modules_of, state_dict_of
from support.small_3d import small
from support.small_recognizers import STGCNPP, posec3d, stgcn, tanet, tsm

from x3ddeploy.errors import X3DDeployError
from x3ddeploy.families import family_of
from x3ddeploy.families.base import Wishes

pytest.importorskip("mmaction")

HOSTILE = [None, -1, 10**4, 10**9, 1e308, float("nan"), "x", [], {}, [[1]], [10**4] * 4, {"type": "x"}]
CONFIGS = {"tsm": tsm, "slowonly": lambda: small("slowonly"), "posec3d": posec3d, "stgcnpp": lambda: stgcn(STGCNPP)}
LONGEST_S = 10  # on a busy machine


def places(value, path=()):
    """The places of all values in a config's dicts and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def put(value, path, new):
    """A config with another value in one place."""
    if not path:
        return new
    if isinstance(value, dict):
        return {**value, path[0]: put(value.get(path[0]), path[1:], new)}
    return type(value)(put(item, path[1:], new) if index == path[0] else item for index, item in enumerate(value))


def weights_of(config):
    """Weights as a checkpoint's reader gives them."""
    weights = state_dict_of(modules_of(copy.deepcopy(config)))
    return {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}


def load(config, weights):
    family = family_of(weights, config)
    if family is not None:
        family.load(weights, config, Wishes())


@pytest.mark.families
@pytest.mark.parametrize("name", CONFIGS)
def test_any_value_in_any_place_is_understood_or_one_error(name):
    config = CONFIGS[name]()
    weights = weights_of(config)
    for path, value in product(places({key: config[key] for key in ("model", "test_pipeline")}), HOSTILE):
        begun = time.monotonic()
        try:
            load(put(config, path, copy.deepcopy(value)), weights)
        except X3DDeployError:
            pass
        except Exception as error:
            pytest.fail(f"{path} = {value!r}: {error!r}")
        assert time.monotonic() - begun < LONGEST_S, (path, value)


def tpn_of_frames():
    """TPN's own kind of network on TSM, without `fcn_test`."""
    config = tsm()
    pyramid = small("tpn")["model"]
    config["model"].update(neck=pyramid["neck"], cls_head=pyramid["cls_head"], test_cfg=None)
    return config


# What MMAction2's own test cannot do, or does to another clip, and what would take memory without end.
REFUSED = [
    (tsm, ("model", "test_cfg"), {"fcn_test": True}, "heads of frames cannot be tested so"),
    (tsm, ("model", "cls_head", "consensus"), {"type": "AvgConsensus", "dim": 2}, "not a row of classes each"),
    (tsm, ("model", "cls_head", "num_segments"), "x", "num_segments = 'x' is not an integer"),
    (tpn_of_frames, ("model", "test_cfg"), {}, "takes the 6 views of a video for one clip"),
    (posec3d, ("model", "cls_head", "average_clips"), "max", "average_clips = 'max'"),
    (posec3d, ("model", "data_preprocessor"), {"type": "MultiModalDataPreprocessor"}, "known here: ActionData"),
    (
        posec3d,
        ("model", "backbone", "dilations"),
        (1, 0, 1),
        r"backbone\.layer2\.0\.conv2\.conv\.dilation = \(1, 0, 0\)",
    ),
    (
        lambda: stgcn(STGCNPP),
        ("model", "backbone", "tcn_ms_cfg"),
        [(3, 0), (3, 2), (3, 3), (3, 4), ("max", 3), "1x1"],
        r"dilation = \(0, 1\)",
    ),
    (tsm, ("model", "backbone", "strides"), (1, -1, 2, 2), r"layer2.*stride = \(-1, -1\)"),
    (posec3d, ("model", "backbone", "base_channels"), 10**6, "base_channels = 1000000: the most is 16384"),
    (posec3d, ("model", "backbone", "base_channels"), 10**4, "differences"),
    (posec3d, ("model", "backbone", "stage_blocks"), [10**4] * 3, r"it has more than \d+ weights"),
    (posec3d, ("test_pipeline", 5), {"type": "GeneratePoseTarget", "with_limb": True, "skeletons": [1]}, "skeletons"),
    (posec3d, ("test_pipeline", 3, "interpolation"), ["area"], "interpolation = "),
    (lambda: stgcn(STGCNPP), ("test_pipeline", 1, "dataset"), ["coco"], "GenSkeFeat dataset"),
    (
        lambda: stgcn(STGCNPP),
        ("test_pipeline", 2),
        {"type": "UniformSampleFrames", "clip_len": 8192, "num_clips": 8192},
        "its steps draw 67108864 frames",
    ),
]


@pytest.mark.parametrize(("make", "path", "value", "said"), REFUSED)
def test_it_is_refused_by_its_name(make, path, value, said):
    config = make()
    weights = {} if make is tpn_of_frames else weights_of(config)
    with pytest.raises(X3DDeployError, match=said):
        load(put(config, path, value), weights)


def test_a_backbone_of_more_segments_than_are_drawn_is_refused():
    """Two clips of four would do for one of eight."""
    config = put(tanet(), ("model", "backbone", "num_segments"), 8)
    with pytest.raises(X3DDeployError, match="does not take clips of"):
        load(config, weights_of(config))


@pytest.mark.parametrize("make", [posec3d, lambda: stgcn(STGCNPP)])
def test_a_head_that_is_not_asked_for_it_is_not(make):
    """MMAction2's recognizers of frames and of heatmaps hand `fcn_test` on, those of skeletons do not."""
    config = make()
    config["model"]["test_cfg"] = {"fcn_test": True}
    weights = weights_of(config)
    family = present(family_of(weights, config))
    assert family.load(weights, config, Wishes()).network.model["fcn_test"] == (make is posec3d)
