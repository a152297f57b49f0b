"""What threads share answers each of them as it would answer one alone, whenever the scheduler lets them meet."""

import functools
import os
import threading
import time

import numpy as np
import pytest
from onnx import TensorProto, helper
from support.clip_files import write_clip
from support.hostile_scheduler import at_once
from support.made_videos import make_keypoints, make_video, write_npz

import x3ddeploy
from x3ddeploy.atomic import staged_directory, write_bytes
from x3ddeploy.bundle import Bundle
from x3ddeploy.data.loader import iterate_clips
from x3ddeploy.data.shared_frames import SharedFrames, decoded_ahead
from x3ddeploy.data.sources.npz import NpzClips
from x3ddeploy.data.video import iter_pictures, read_frames
from x3ddeploy.environment import variable
from x3ddeploy.runtimes.registry import open_session

RUNTIMES = ["onnxruntime", pytest.param("openvino", marks=pytest.mark.openvino)]


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """A video of 20 frames with the keypoints of two persons beside it."""
    path = make_video(tmp_path_factory.mktemp("filmed") / "a.mp4")
    write_npz(path.with_suffix(".npz"), *make_keypoints())
    return path


@pytest.fixture(scope="module")
def product():
    """A graph that takes its rows as long as threads need to meet in a run of it, and gives them as they are."""
    nodes = [helper.make_node("MatMul", ["x", "one"], ["y"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [64, 256]) for name in "xy"]
    one = helper.make_tensor("one", TensorProto.FLOAT, [256, 256], np.eye(256, dtype=np.float32).ravel())
    graph = helper.make_graph(nodes, "product", ends[:1], ends[1:], [one])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model.SerializeToString()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_callers_of_one_session_get_their_own_outputs(product, runtime):
    session = open_session(runtime, product, threads=1)

    def run(number):
        return set(session.run({"x": np.full((64, 256), number, np.float32)})["y"].ravel().tolist())

    assert at_once(run, 1, 2, 3, times=40) == [[{number}] * 40 for number in (1, 2, 3)]


@pytest.mark.openvino
def test_threads_that_need_openvino_at_once_open_one_core(monkeypatch):
    session = pytest.importorskip("x3ddeploy.runtimes.openvino_session")
    opened: list[None] = []

    def open_core():
        opened.append(None)
        time.sleep(0.01)

    monkeypatch.setattr(session, "_core", functools.cache(open_core))
    at_once(lambda number: session.core(), 1, 2, 3)
    assert len(opened) == 1


def test_callers_of_one_recognizer_get_their_own_predictions(bundle, filmed):
    with x3ddeploy.open(bundle) as recognizer:

        def scores(window):
            return [entry.deployed.tolist() for entry in recognizer.predict(filmed, window=window)]

        alone = [scores(window) for window in (8, 16)]
        assert at_once(scores, 8, 16, times=2) == [[each, each] for each in alone]


def test_clips_that_are_loaded_ahead_are_those_that_one_thread_loads(bundle, tmp_path):
    contract, random = Bundle.open(bundle).contract, np.random.default_rng(0)
    for number in range(12):
        inputs = {name: random.random(shape, np.float32)[0] for name, shape in contract.input_shapes(1).items()}
        write_clip(tmp_path / f"{number:02}.npz", label=number % 3, **inputs)
    source = NpzClips(tmp_path, contract, None, None)

    def load(workers):
        return [(clip.name, clip.label, clip.inputs) for clip in iterate_clips(source, workers=workers)]

    alone = load(1)
    for ((found,),) in zip(at_once(load, 3, 3), strict=True):
        assert [entry[:2] for entry in found] == [entry[:2] for entry in alone]
        for (_, _, inputs), (_, _, expected) in zip(found, alone, strict=True):
            for name, value in expected.items():
                np.testing.assert_array_equal(inputs[name], value)


def test_frames_that_clips_share_are_those_that_each_would_decode(filmed):
    clips = [list(range(start, start + 12, 2)) for start in range(6)]
    shared = SharedFrames(decoded_ahead(lambda indices: iter_pictures(filmed, indices, threads=2)), clips)
    found = at_once(lambda clip: np.stack([frame[:, :] for frame in shared(clip)]), *clips)
    for (frames,), clip in zip(found, clips, strict=True):
        np.testing.assert_array_equal(frames, read_frames(filmed, clip))


def test_a_variable_is_one_threads_at_a_time(monkeypatch):
    """Else the second would put back what the first had set, and it would stay."""
    monkeypatch.delenv("X3DDEPLOY_TEST", raising=False)
    seen = []

    def other():
        with variable("X3DDEPLOY_TEST", "2"):
            seen.append(os.environ["X3DDEPLOY_TEST"])

    thread = threading.Thread(target=other)
    with variable("X3DDEPLOY_TEST", "1"):
        thread.start()
        thread.join(timeout=0.05)
        assert os.environ["X3DDEPLOY_TEST"] == "1"
        assert not seen
    thread.join()
    assert seen == ["2"]
    assert "X3DDEPLOY_TEST" not in os.environ


def test_nothing_that_is_written_takes_the_mask_from_other_threads_files(tmp_path, monkeypatch):
    """`os.umask` tells the mask by setting another: what a thread makes meanwhile would be everybody's to write."""
    masks: list[int] = []
    monkeypatch.setattr(os, "umask", masks.append)
    write_bytes(tmp_path / "f", b"x")
    with staged_directory(tmp_path / "d") as staging:
        (staging / "a").write_text("one")
    assert not masks
