"""Bundles of every family run in C++ as in Python: heatmaps, skeletons, frames in several views, several streams."""

import ctypes
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import small_epamnet
from support.cpp_programs import HEIGHT, WIDTH, video_for
from support.cpp_project import CPP, HAS_ONNXRUNTIME

from x3ddeploy.bundle import Bundle
from x3ddeploy.contract import OutputKind
from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.prepare import prepare_clips
from x3ddeploy.evaluation.scores import VideoScores, averaged
from x3ddeploy.families import FAMILIES
from x3ddeploy.families.two_stream_x3d.demo import checkpoint_dict
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.randomized import random_network
from x3ddeploy.modalities import needs_frames, sample_clips
from x3ddeploy.runtimes.registry import open_session

sys.path += [str(Path(__file__).parents[1] / "families"), str(CPP / "examples" / "python")]
from support.recognizers import save
from support.small_3d import CONFIGS as OF_CLIPS
from support.small_3d import small
from support.small_recognizers import STGCNPP, c2d, posec3d, rgbposeconv3d, stgcn, tanet, trn, tsm, tsn
from x3d import FORMATS, FOUND, Frame, PoolOptions, Poses, StreamOptions

pytestmark = pytest.mark.openvino
CONFIGS: dict[str, Callable[[], dict[str, Any]]] = {
    **{family: partial(small, family) for family in OF_CLIPS},
    **{maker.__name__: maker for maker in (posec3d, rgbposeconv3d, tsn, tsm, c2d, tanet, trn)},
    "stgcn": lambda: stgcn(STGCNPP),
}
IN_EVERY_RUN = {"posec3d", "stgcn", "trn"}  # heatmaps, skeletons, frames; the rest with `make families`


def stream_of_skeletons(feature):
    config = stgcn(STGCNPP)
    config["test_pipeline"][1]["feats"] = [feature]
    return config


def checkpoints(family, folder):
    """A small network of the family, in as many files as it comes in."""
    if family == "two_stream_x3d":
        torch.save(checkpoint_dict(random_network(PRESETS["tiny"], seed=1)), folder / "best.pth")
    elif family == "epamnet":
        small_epamnet.save(folder)
    elif family == "skeleton_streams":
        return [save(folder / f"{name}.pth", stream_of_skeletons(name), seed) for seed, name in enumerate(("j", "b"))]
    else:
        save(folder / "best.pth", CONFIGS[family]())
    return [folder / "best.pth"]


def in_python(contract, video):
    """The network's inputs of the clips that its configuration draws, and how many these are."""
    keypoints = video["keypoints"]
    annotation = Annotation("clip", 0, (HEIGHT, WIDTH), keypoints.shape[1], keypoints, video["keypoint_scores"])
    indices = sample_clips(keypoints.shape[1], contract.inputs)
    read = lambda wanted: (video["frames"][index] for index in wanted)  # noqa: E731
    return prepare_clips(read, annotation, contract.inputs, indices), len(next(iter(indices.values())))


def scores_of_views(given, contract):
    """The deployed score of one video, as `eval` makes it of all views."""
    outputs = {name: output for name, output in contract.outputs.items() if output.kind is OutputKind.LOGITS}
    averages = {name: averaged(given[name], output) for name, output in outputs.items()}
    return VideoScores(averages, outputs).of(contract.scores[contract.deployed])[0]


def windows_of(library, recognizer, video, window, stride):
    """What a stream and the cameras of a pool find in a video, window by window."""
    found: dict[str | int, list[np.ndarray]] = {"stream": [], 0: [], 1: []}
    tell = {
        who: FOUND(
            lambda _, camera, one, who=who: found[camera if who == "pool" else who].append(
                np.array(one[0].scores[: one[0].classes])
            )
        )
        for who in ("stream", "pool")
    }
    options = StreamOptions(ctypes.sizeof(StreamOptions), window, stride, video["clips"])
    stream = library.c.x3d_stream_open(recognizer, options)
    pool = library.c.x3d_pool_open(recognizer, options, PoolOptions(ctypes.sizeof(PoolOptions), 4), tell["pool"], None)
    for i, picture in enumerate(video["frames"]):
        frame = Frame(ctypes.sizeof(Frame), FORMATS["rgb"], HEIGHT, WIDTH, (ctypes.c_void_p * 3)(picture.ctypes.data))
        keypoints, scores = (np.ascontiguousarray(video[name][:, i]) for name in ("keypoints", "keypoint_scores"))
        persons, joints, coordinates = keypoints.shape
        poses = Poses(ctypes.sizeof(Poses), persons, joints, keypoints.ctypes.data, scores.ctypes.data)
        poses.coordinates = coordinates
        assert library.c.x3d_stream_push(stream, frame, poses, i / 25, tell["stream"], None) == 0, library.error()
        for camera in (0, 1):
            assert library.c.x3d_pool_push(pool, camera, frame, poses, i / 25) == 0, library.error()
    library.c.x3d_pool_finish(pool)
    library.c.x3d_pool_close(pool)
    library.c.x3d_stream_close(stream)
    return found


def check_windows(library, bundle, video):
    """A camera's windows are what `predict` says of the same frames and poses."""
    recognizer = library.open(str(bundle))
    stride = 3
    window = len(video["frames"]) - stride
    expected = []
    for start in (0, stride):
        part = slice(start, start + window)
        keypoints, scores = (np.ascontiguousarray(video[name][:, part]) for name in ("keypoints", "keypoint_scores"))
        pictures, size = list(video["frames"][part]), (HEIGHT, WIDTH)
        expected.append(library.predict(recognizer, pictures, "rgb", size, keypoints, scores, video["clips"]))
    for found in windows_of(library, recognizer, video, window, stride).values():
        np.testing.assert_allclose(found, expected, atol=1e-4)
    library.c.x3d_close(recognizer)


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=() if name in IN_EVERY_RUN else pytest.mark.families) for name in FAMILIES]
)
def test_a_familys_bundle_gives_pythons_scores(cli, library, run, tmp_path, family):
    pytest.importorskip("mmaction")
    pytest.importorskip("cv2")
    process = run("export", *checkpoints(family, tmp_path), "-o", tmp_path / "deploy")
    assert process.returncode == 0, process.stderr
    contract = Bundle.open(tmp_path / "deploy").contract
    assert contract.family == family
    video = video_for(next(iter(contract.inputs.values())), seed=4)
    prepared, clips = in_python(contract, video)
    arrays = {**video, "frame_size": np.array([HEIGHT, WIDTH], np.float32)}
    if not needs_frames(contract.inputs):
        del arrays["frames"]
    np.savez(tmp_path / "clip.npz", **arrays)
    for runtime in ("openvino", "onnxruntime")[: 1 + HAS_ONNXRUNTIME]:
        session = open_session(runtime, tmp_path / "deploy" / "recognizer.onnx", threads=1)
        expected = scores_of_views(session.run(prepared), contract)
        command = [cli, tmp_path / "deploy", "--runtime", runtime]
        process = subprocess.run(
            [*command, tmp_path / "clip.npz", "--clips", str(clips), "--json"], capture_output=True, check=False
        )
        assert process.returncode == 0, process.stderr.decode()
        np.testing.assert_allclose(json.loads(process.stdout)["scores"], expected, atol=1e-4)
        assert subprocess.run([*command, "--self-test"], capture_output=True, check=False).returncode == 0
    check_windows(library, tmp_path / "deploy", {**video, "clips": clips})
