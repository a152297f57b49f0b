"""No skeleton, no confident answer: the table of docs/data.md, case by case, at every door that clips come in by."""

import numpy as np
import pytest
from support.action_data import annotation, moving_picture, write_annotations, write_video
from support.present import present

from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.people import check_keypoints, people_drawn, persons_by_frame
from x3ddeploy.data.prepare import prepare_clips
from x3ddeploy.data.sources import open_source
from x3ddeploy.errors import DataError
from x3ddeploy.families.two_stream_x3d.contract import two_stream_contract
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.modalities.sampling import sample_clips
from x3ddeploy.prediction.windows import VideoWindows, Window

TINY = PRESETS["tiny"]
CONTRACT = two_stream_contract(TINY, (1, 1), None, {})
FRAMES, HEIGHT, WIDTH = 20, 96, 128


def skeleton(seed=0):
    """(1, T, 17, 2) pixels about the middle of the picture, and ones."""
    places = np.random.default_rng(seed).uniform(0.3, 0.7, (1, FRAMES, 17, 2)) * (WIDTH, HEIGHT)
    return places.astype(np.float32), np.ones((1, FRAMES, 17), np.float32)


def normalised():
    places, scores = skeleton()
    return places / (WIDTH, HEIGHT), scores


def normalised_about_the_middle():
    places, scores = normalised()
    return 2 * places - 1, scores


def moved(x, y):
    places, scores = skeleton()
    return places + np.array((x, y), np.float32), scores


def one_joint(value, score=1.0):
    places, scores = skeleton()
    places[0, :, 5], scores[0, :, 5] = value, score
    return places, scores


def scored(values):
    places, scores = skeleton()
    scores[0, 0, :3] = values
    return places, scores


def nobody(value=0.0, score=0.0):
    places, scores = skeleton()
    return np.full_like(places, value), np.full_like(scores, score)


REFUSED = {
    "from 0 to 1": (normalised, "shares of the picture"),
    "from -1 to 1": (normalised_about_the_middle, "shares of the picture"),
    "beside the picture": (lambda: moved(WIDTH, 0), "100% of its keypoints outside"),
    "mostly above the picture": (lambda: moved(0, -HEIGHT * 0.55), "% of its keypoints outside"),
    "of four times the resolution": (lambda: (4 * skeleton()[0], skeleton()[1]), "of its keypoints outside"),
    "a joint at infinity": (lambda: one_joint(np.inf), "infinite keypoints"),
    "a joint at infinity, score 0": (lambda: one_joint(-np.inf, 0), "infinite keypoints"),
    "percent": (lambda: scored((100, 80, 30)), "scores from 0 to 100"),
    "logits": (lambda: scored((-4, 2, 1)), "scores from -4 to 2"),
    "an infinite score": (lambda: scored((np.inf, 1, 1)), "scores from 0 to inf"),
}
NOBODY = {
    "all 0": nobody,
    "all 0, score 1": lambda: nobody(0, 1),
    "all not a number": lambda: nobody(np.nan, 1),
    "all scores 0": lambda: nobody(50, 0),
    "all scores not a number": lambda: nobody(50, np.nan),
    "no persons": lambda: (np.zeros((0, FRAMES, 17, 2), np.float32), np.zeros((0, FRAMES, 17), np.float32)),
}
TAKEN = {
    "a skeleton": (skeleton, ()),
    "partly outside": (lambda: moved(WIDTH * 0.4, 0), ()),
    "a joint that is not a number": (lambda: one_joint(np.nan), ()),
    "scores a little over 1": (lambda: scored((1.04, 1, 1)), ("keypoint scores go from 0 to 1.04",)),
    "scores a little under 0": (lambda: scored((-0.25, 1, 1)), ("keypoint scores go from -0.25 to 1",)),
}


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("v") / "clip.mp4", moving_picture(FRAMES, HEIGHT, WIDTH))


def by_annotations(tmp_path, video, places, scores, least):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "clip.mp4").write_bytes(video.read_bytes())
    entry = {**annotation("clip", frames=FRAMES, size=(HEIGHT, WIDTH)), "keypoint": places, "keypoint_score": scores}
    write_annotations(tmp_path / "annotations.pkl", [entry], {"val": ["clip"]})
    return open_source(tmp_path, CONTRACT, min_keypoint_score=least).load(0)


def by_npz(tmp_path, video, places, scores, least):
    frames = moving_picture(FRAMES, HEIGHT, WIDTH)
    np.savez(tmp_path / "clip.npz", frames=frames, keypoints=places.astype(np.float32), keypoint_scores=scores)
    return open_source(tmp_path, CONTRACT, min_keypoint_score=least).load(0)


def by_window(tmp_path, video, places, scores, least):
    sample = Annotation("clip", 0, (HEIGHT, WIDTH), FRAMES, places, scores)
    return VideoWindows(video, sample, FRAMES, CONTRACT.inputs, [Window(0, FRAMES)], 1, least).load(0)


DOORS = pytest.mark.parametrize("door", [by_annotations, by_npz, by_window])


@DOORS
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_skeleton_is_refused(tmp_path, video, door, case):
    make, said = REFUSED[case]
    with pytest.raises(DataError, match=said) as caught:
        door(tmp_path, video, *make(), None)
    assert "clip" in caught.value.message
    assert caught.value.hint


@DOORS
@pytest.mark.parametrize("case", NOBODY)
def test_where_nobody_is_it_is_said(tmp_path, video, door, case):
    clip = door(tmp_path, video, *NOBODY[case](), None)
    assert (clip.people.frames, clip.people.frames_with_persons, clip.people.seen) == (FRAMES, 0, False)
    assert all(np.isfinite(value).all() for value in clip.inputs.values())


@DOORS
@pytest.mark.parametrize("case", TAKEN)
def test_what_is_only_odd_is_taken_and_named(tmp_path, video, door, case):
    make, notes = TAKEN[case]
    clip = door(tmp_path, video, *make(), None)
    assert (clip.people.frames_with_persons, clip.people.seen, clip.people.notes) == (FRAMES, True, notes)
    assert all(np.isfinite(value).all() for value in clip.inputs.values())


def test_frames_with_persons_are_counted_and_those_that_the_network_sees_decide(video):
    places, scores = skeleton()
    places[:, 7:] = 0
    sample = Annotation("clip", 0, (HEIGHT, WIDTH), FRAMES, places, scores)
    assert persons_by_frame(sample, None).tolist() == [True] * 7 + [False] * 13
    source = VideoWindows(
        video, sample, FRAMES, CONTRACT.inputs, [Window(0, 10), Window(5, 15), Window(8, 18)], 1, None
    )
    people = [present(source.load(index).people) for index in range(3)]
    assert [(entry.frames, entry.frames_with_persons, entry.seen) for entry in people] == [
        (10, 7, True), (10, 2, True), (10, 0, False),
    ]  # fmt: skip


def test_a_clip_that_repeats_its_frames_is_named(tmp_path, video):
    places, scores = skeleton()
    sample = Annotation("clip", 0, (HEIGHT, WIDTH), 2, places[:, :2], scores[:, :2])
    clip = VideoWindows(video, sample, 2, CONTRACT.inputs, [Window(0, 2)], 1, None).load(0)
    (note,) = present(clip.people).notes
    assert note == f"2 frames are repeated to the {TINY.rgb_input.frames} that the network takes"


@pytest.mark.parametrize(
    ("value", "score"), [(np.inf, 1), (-np.inf, 0.9), (np.nan, 1), ((9000, 20), 0), ((20, -9000), 0.29)]
)
@DOORS
def test_a_doubtful_joint_decides_nothing_where_it_is_asked_for(tmp_path, video, door, value, score):
    """As if the joint had not been found: neither the crop nor any heatmap knows of it."""
    places, scores = one_joint(value, score)
    clip = door(tmp_path, video, places, scores, 0.3)
    places, scores = one_joint(0, 0)
    (tmp_path / "other").mkdir()
    expected = door(tmp_path / "other", video, places, scores, None)
    for name, values in clip.inputs.items():
        np.testing.assert_array_equal(values, expected.inputs[name])


def test_by_default_a_joint_of_score_0_decides_as_in_mmaction2(video):
    far = Annotation("clip", 0, (HEIGHT, WIDTH), FRAMES, *one_joint((5000, 20), 0))
    near = Annotation("clip", 0, (HEIGHT, WIDTH), FRAMES, *one_joint(0, 0))
    indices = sample_clips(FRAMES, CONTRACT.inputs)
    read = moving_picture(FRAMES, HEIGHT, WIDTH).__getitem__
    first, second = (prepare_clips(read, sample, CONTRACT.inputs, indices)["imgs"] for sample in (far, near))
    assert np.abs(first - second).max() > 1


def test_a_threshold_of_0_leaves_out_what_was_not_found():
    places, scores = one_joint((9000, 20), 0)
    sample = Annotation("clip", 0, (HEIGHT, WIDTH), FRAMES, places, scores)
    read, indices = moving_picture(FRAMES, HEIGHT, WIDTH).__getitem__, sample_clips(FRAMES, CONTRACT.inputs)
    assert np.isfinite(prepare_clips(read, sample, CONTRACT.inputs, indices, 0.0)["imgs"]).all()
    assert check_keypoints(sample, 0.0) == ()


@pytest.mark.parametrize(("size", "turned"), [((WIDTH, HEIGHT), True), ((48, 64), False), ((200, 200), False)])
def test_keypoints_of_a_turned_picture_are_refused_and_of_a_scaled_one_scaled(size, turned):
    places, scores = skeleton()
    scaled = places * (size[1] / WIDTH, size[0] / HEIGHT)
    sample = Annotation("clip", 0, size, FRAMES, scaled.astype(np.float32), scores)
    read, indices = moving_picture(FRAMES, HEIGHT, WIDTH).__getitem__, sample_clips(FRAMES, CONTRACT.inputs)
    if turned:
        with pytest.raises(DataError, match="the video is shown with 128 x 96"):
            prepare_clips(read, sample, CONTRACT.inputs, indices)
    else:
        same = Annotation("clip", 0, (HEIGHT, WIDTH), FRAMES, places, scores)
        actual, expected = (
            prepare_clips(read, item, CONTRACT.inputs, indices)["heatmap_imgs"] for item in (sample, same)
        )
        np.testing.assert_allclose(actual, expected, atol=1e-2)


def test_ready_heatmaps_say_in_how_many_frames_persons_are(tmp_path):
    heatmaps = np.zeros(TINY.input_shapes(2)["heatmap_imgs"], np.float32)
    frames = heatmaps.shape[2]
    assert (people_drawn(heatmaps).frames, people_drawn(heatmaps).seen) == (2 * frames, False)
    heatmaps[1, 4, 2, 3, 3] = 0.5
    assert (people_drawn(heatmaps).frames_with_persons, people_drawn(heatmaps).seen) == (1, True)
    imgs = np.zeros(TINY.input_shapes(1)["imgs"], np.float32)
    np.savez(tmp_path / "a.npz", imgs=imgs, heatmap_imgs=heatmaps[:1])
    assert not present(open_source(tmp_path, CONTRACT).load(0).people).seen
    with pytest.raises(DataError, match="joints are drawn already"):
        open_source(tmp_path, CONTRACT, min_keypoint_score=0.5).load(0)
