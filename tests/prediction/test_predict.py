"""A prediction is the network's output on the pipeline's tensors, window by window."""

from functools import partial

import numpy as np
import pytest
from support.made_videos import FRAMES, HEIGHT, WIDTH, entry, make_keypoints, make_video, write_npz, write_pickle

from x3ddeploy.bundle import Bundle
from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.prepare import prepare_clips
from x3ddeploy.data.sources import open_source
from x3ddeploy.data.video import iter_frames, read_frames
from x3ddeploy.evaluation.scores import Scorer
from x3ddeploy.families.two_stream_x3d.contract import two_stream_contract
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.modalities.sampling import sample_clips
from x3ddeploy.prediction.inputs import KeypointFiles
from x3ddeploy.prediction.predict import Windowing, open_video, predict_windows, ranked
from x3ddeploy.prediction.windows import Window, sliding_windows
from x3ddeploy.runtimes.registry import REFERENCE, Execution, open_part
from x3ddeploy.terms import Precision

CONTRACT = two_stream_contract(PRESETS["tiny"], (1, 1), None, {})
NAMES = ["a", "b", "c", "d", "e", "f"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    make_video(folder / "clip.mp4")
    write_npz(folder / "clip.npz", *make_keypoints())
    return folder


@pytest.fixture(scope="module")
def session(bundle):
    return open_part(Bundle.open(bundle), Execution("onnxruntime", "cpu", Precision.FP32))


def predicted(folder, session, **windowing):
    video = open_video(folder / "clip.mp4", KeypointFiles(None, 1), CONTRACT.inputs)
    scorer = Scorer(session, CONTRACT, 1)
    return list(predict_windows(video, CONTRACT, NAMES, scorer, Windowing(**windowing), workers=2))


@pytest.mark.parametrize(
    ("frames", "length", "stride", "expected"),
    [
        (10, None, None, [(0, 10)]),
        (10, 10, None, [(0, 10)]),
        (10, 12, 3, [(0, 10)]),
        (10, 4, None, [(0, 4), (2, 6), (4, 8), (6, 10)]),
        (10, 4, 3, [(0, 4), (3, 7), (6, 10)]),
        (10, 4, 4, [(0, 4), (4, 8), (6, 10)]),  # the last one ends with the video
        (10, 1, 4, [(0, 1), (4, 5), (8, 9), (9, 10)]),
        (3, 1, None, [(0, 1), (1, 2), (2, 3)]),
    ],
)
def test_windows_reach_to_the_last_frame(frames, length, stride, expected):
    assert sliding_windows(frames, length, stride) == [Window(*window) for window in expected]


def test_a_whole_video_is_the_session_on_the_pipelines_tensors(folder, session):
    (prediction,) = predicted(folder, session)
    annotation = Annotation("clip", 0, (HEIGHT, WIDTH), FRAMES, *make_keypoints())
    indices = sample_clips(FRAMES, CONTRACT.inputs)
    outputs = session.run(
        prepare_clips(partial(iter_frames, folder / "clip.mp4"), annotation, CONTRACT.inputs, indices)
    )
    np.testing.assert_allclose(prediction.deployed, outputs["scores"][0], atol=1e-6)
    for stream in ("rgb", "pose"):
        scores = prediction.scores[stream]
        exponents = np.exp(outputs[f"{stream}_logits"][0].astype(np.float64))
        np.testing.assert_allclose(scores, exponents / exponents.sum(), atol=1e-6)


def test_a_window_is_what_the_same_frames_would_be_as_a_video_of_their_own(folder, session, tmp_path):
    predictions = predicted(folder, session, length=12, stride=4)
    assert [(entry.window.start, entry.window.end) for entry in predictions] == [(0, 12), (4, 16), (8, 20)]
    positions, scores = make_keypoints()
    clips = tmp_path / "clips"
    clips.mkdir()
    for number, start in enumerate((0, 4, 8)):
        frames = read_frames(folder / "clip.mp4", range(start, start + 12))
        part = slice(start, start + 12)
        np.savez(clips / f"{number}", frames=frames, keypoints=positions[:, part], keypoint_scores=scores[:, part])
    source = open_source(clips, CONTRACT)
    for number, prediction in enumerate(predictions):
        outputs = session.run(source.load(number).inputs)
        np.testing.assert_allclose(prediction.deployed, outputs["scores"][0], atol=1e-6)
    assert np.abs(predictions[0].deployed - predictions[2].deployed).max() > 1e-4  # else nothing was tested


def test_several_clips_of_a_window_are_averaged_as_probabilities(folder, session):
    (prediction,) = predicted(folder, session, clips=3)
    annotation = Annotation("clip", 0, (HEIGHT, WIDTH), FRAMES, *make_keypoints())
    indices = sample_clips(FRAMES, CONTRACT.inputs, clips=3)
    clips = prepare_clips(partial(iter_frames, folder / "clip.mp4"), annotation, CONTRACT.inputs, indices)
    np.testing.assert_allclose(prediction.deployed, session.run(clips)["scores"].mean(0), atol=1e-6)


def test_torch_and_onnxruntime_agree(folder, session, bundle):
    other = open_part(Bundle.open(bundle), REFERENCE)
    np.testing.assert_allclose(predicted(folder, session)[0].deployed, predicted(folder, other)[0].deployed, atol=1e-5)


def test_persons_may_come_in_any_order(folder, session, tmp_path):
    """Pose estimators do not say who is who; nor do heatmaps."""
    positions, scores = make_keypoints()
    positions[:, 5:9], scores[:, 5:9] = positions[::-1, 5:9].copy(), scores[::-1, 5:9].copy()
    (tmp_path / "clip.mp4").write_bytes((folder / "clip.mp4").read_bytes())
    write_npz(tmp_path / "clip.npz", positions, scores)
    np.testing.assert_allclose(
        predicted(tmp_path, session)[0].deployed,
        predicted(folder, session)[0].deployed,
        rtol=0,
        atol=1e-7,
    )


def test_keypoints_found_in_frames_of_another_size_are_scaled(folder, session, tmp_path):
    positions, scores = make_keypoints()
    larger = {**entry("clip", 2 * positions, scores), "img_shape": (2 * HEIGHT, 2 * WIDTH)}
    files = KeypointFiles(write_pickle(tmp_path / "a.pkl", larger), 1)
    video = open_video(folder / "clip.mp4", files, CONTRACT.inputs)
    (prediction,) = predict_windows(video, CONTRACT, NAMES, Scorer(session, CONTRACT, 1), Windowing(), workers=1)
    np.testing.assert_allclose(prediction.deployed, predicted(folder, session)[0].deployed, atol=1e-5)


def test_a_record_ranks_the_classes_of_each_kind_of_scores(folder, session):
    prediction = predicted(folder, session, length=8, stride=6)[1]
    record = prediction.line(2).to_json()
    assert (record["start_frame"], record["end_frame"], record["start_s"], record["end_s"]) == (6, 14, 0.375, 0.875)
    assert record["label"] == record["fused"][0]["label"] == NAMES[int(prediction.deployed.argmax())]
    for kind, scores in (
        ("fused", prediction.deployed),
        ("rgb", prediction.scores["rgb"]),
        ("pose", prediction.scores["pose"]),
    ):
        assert [item["score"] for item in record[kind]] == sorted(scores, reverse=True)[:2]
        assert [NAMES[item["class"]] for item in record[kind]] == [item["label"] for item in record[kind]]
    assert ranked(np.array([0.2, 0.5, 0.3]), 9) == [1, 2, 0]


def test_a_window_without_a_person_has_no_label(folder, session, tmp_path):
    positions, scores = make_keypoints()
    positions[:, 8:], scores[:, 8:] = 0, 0
    (tmp_path / "clip.mp4").write_bytes((folder / "clip.mp4").read_bytes())
    write_npz(tmp_path / "clip.npz", positions, scores)
    first, last = predicted(tmp_path, session, length=10, stride=10)
    assert first.line(2).to_json()["frames_with_persons"] == 8
    assert first.line(2).to_json()["label"] in NAMES
    record = last.line(2).to_json()
    assert (record["frames_with_persons"], record["label"]) == (0, None)
    assert record["fused"] == record["rgb"] == record["pose"] == []
