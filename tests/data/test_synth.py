"""The synthetic actions: each class is told apart by what its table says and by nothing else; files suit MMAction2."""

import io
import json
import pickle
from itertools import combinations, groupby, product

import numpy as np
import pytest

from x3ddeploy.data.annotations import read_annotations
from x3ddeploy.data.synth import SynthOptions, generate, make_clip
from x3ddeploy.data.synth.actions import ACTIONS, Cue, ceiling
from x3ddeploy.data.synth.options import clip_names
from x3ddeploy.data.synth.skeleton import JOINTS, Body, angles_of, joints_in_space, posture
from x3ddeploy.data.synth.video import write_video
from x3ddeploy.data.video import read_frames
from x3ddeploy.errors import MissingRequirementError, UsageError

pytest.importorskip("cv2")
pytest.importorskip("av")

SMALL = SynthOptions(seed=5, size=(64, 64), frames=12, clips_per_class=4, subjects=3)
FULL = SynthOptions()
CASTS = [(1, 1, 1), (2, 3, 1), (5, 2, 2)]  # performer, camera, repetition; among them a clip with a bystander


def quiet(done, total):
    pass


def numbers_of(cue):
    """Numbers, from 1, of the classes that only `cue` tells apart, by group."""
    rows = [(action.group, number) for number, action in enumerate(ACTIONS, 1) if action.told_apart_by is cue]
    return [[number for _, number in members] for _, members in groupby(rows, lambda row: row[0])]


def pairs_of(cue):
    return [pair for group in numbers_of(cue) for pair in combinations(group, 2)]


def files_of(directory):
    return {str(file.relative_to(directory)): file.read_bytes() for file in directory.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("synth") / "actions"
    return generate(directory, SMALL, quiet)


@pytest.fixture(scope="module")
def content(dataset):
    return pickle.loads((dataset.directory / "annotations.pkl").read_bytes())


# What tells classes apart.


def test_there_are_classes_for_each_cue_and_no_stream_alone_reaches_ninety_percent():
    assert len(ACTIONS) == len({action.name for action in ACTIONS}) == 12
    assert {action.told_apart_by for action in ACTIONS} == set(Cue)
    for cue in (Cue.TIME_ORDER, Cue.APPEARANCE, Cue.POSE):
        assert ceiling(cue) == pytest.approx(10 / 12)
    assert ceiling(Cue.BOTH) == 1


@pytest.mark.parametrize("cast", CASTS)
@pytest.mark.parametrize("pair", pairs_of(Cue.TIME_ORDER))
def test_time_order_pairs_are_each_others_reversal(pair, cast):
    forward, backward = (make_clip(FULL, action, *cast) for action in pair)
    assert np.array_equal(forward.frames[::-1], backward.frames)
    assert np.array_equal(forward.keypoints[:, ::-1], backward.keypoints)
    assert np.array_equal(forward.scores[:, ::-1], backward.scores)
    assert np.array_equal(forward.space[:, ::-1], backward.space)
    moved = np.abs(forward.keypoints[0] - backward.keypoints[0]).max(-1)
    assert moved[0].max() > 0.1 * FULL.size[0]  # and the order shows: they begin apart


@pytest.mark.parametrize("cast", CASTS)
@pytest.mark.parametrize("pair", pairs_of(Cue.APPEARANCE))
def test_appearance_classes_have_the_same_keypoints_and_other_frames(pair, cast):
    first, second = (make_clip(FULL, action, *cast) for action in pair)
    assert np.array_equal(first.keypoints, second.keypoints)
    assert np.array_equal(first.scores, second.scores)
    assert np.array_equal(first.space, second.space)
    differs = np.abs(first.frames.astype(int) - second.frames).max(-1) > 100
    assert differs.mean((1, 2)).min() > 0.01  # in every frame, and not by a pixel or two: 125 of 112 x 112


@pytest.mark.parametrize("size", [(112, 112), (64, 80), (32, 32)])
@pytest.mark.parametrize("cast", CASTS)
@pytest.mark.parametrize("pair", pairs_of(Cue.POSE))
def test_pose_classes_have_the_same_frames_and_other_keypoints(pair, cast, size):
    first, second = (make_clip(SynthOptions(size=size), action, *cast) for action in pair)
    assert np.array_equal(first.frames, second.frames)
    apart = np.linalg.norm(first.keypoints[0] - second.keypoints[0], axis=-1)
    legs = [JOINTS[f"{side}_{joint}"] for side in ("left", "right") for joint in ("knee", "ankle")]
    assert apart[:, legs].max() > 0.06 * min(size)
    assert np.delete(apart, legs, axis=1).max() < 1e-4


@pytest.mark.parametrize("cast", CASTS)
def test_skeletons_in_space_are_the_figures_that_the_camera_sees(cast):
    """In NTU's order: 5, 6 are the left elbow and wrist, 13, 14 the left knee and ankle, 3 the head, 0 the hips."""
    clip = make_clip(FULL, 12, *cast)
    assert clip.space.shape == (len(clip.keypoints), FULL.frames, 25, 3)
    performer, keypoints = clip.space[0], clip.keypoints[0]
    for start, end in ((5, 6), (9, 10), (13, 14)):
        lengths = np.linalg.norm(performer[:, end] - performer[:, start], axis=-1)
        assert 0.15 < lengths.mean() < 0.6
        assert lengths.std() < 0.03  # bones do not change; the sensor is a centimetre off
    assert (performer[:, 3, 1] - performer[:, 0, 1]).min() > 0.3  # up is up
    # A metre is as many pixels in every joint and frame, to the right and down; both sensors are a little off.
    pairs = ((6, "left_wrist"), (14, "left_ankle"), (8, "right_shoulder"), (18, "right_ankle"))
    metres = np.stack([performer[:, joint, :2] for joint, _ in pairs]).reshape(-1, 2)
    pixels = np.stack([keypoints[:, JOINTS[name]] for _, name in pairs]).reshape(-1, 2)
    for axis, sign in ((0, 1), (1, -1)):
        scale, offset = np.polyfit(metres[:, axis], pixels[:, axis], 1)
        assert sign * scale > 0.8 * FULL.size[0] / 2.3
        assert np.median(np.abs(metres[:, axis] * scale + offset - pixels[:, axis])) < 1.5


def test_a_network_of_skeletons_reads_them(dataset, content):
    annotations = read_annotations(dataset.directory / "skeletons.pkl", pictures=False)
    assert {name: list(names) for name, names in annotations.splits.items()} == content["split"]
    assert [(sample.name, sample.label) for sample in annotations.samples.values()] == [
        (item["frame_dir"], item["label"]) for item in content["annotations"]
    ]
    assert all(sample.in_space and sample.keypoints.shape[2] == 25 for sample in annotations.samples.values())


def test_a_crop_to_the_keypoints_does_not_tell_what_hidden_legs_do():
    """MMCompact crops frames to the keypoints' outline: a leg that moved it would show in the cropped frames."""
    moved = []
    for performer, camera in product(range(1, 13), (1, 2, 3)):
        clips = [make_clip(FULL, action, performer, camera, 1).keypoints for action in numbers_of(Cue.POSE)[0]]
        outlines = [[*keypoints.min((0, 1, 2)), *keypoints.max((0, 1, 2))] for keypoints in clips]
        moved.append(np.ptp(outlines, axis=0).max())
    # A keypoint that the estimator lost may lie outside by chance, seldom and not far.
    assert np.mean(np.array(moved) > 1e-3) < 0.1
    assert max(moved) < 0.02 * FULL.size[0]


def test_bystanders_are_in_some_clips_and_only_the_performer_acts():
    clips = [make_clip(SMALL, 12, performer, 1, 1) for performer in range(1, 21)]
    both = [clip for clip in clips if len(clip.keypoints) == 2]
    assert 0 < len(both) < len(clips)
    for clip in both:
        performer, bystander = (person.std(0).max() for person in clip.keypoints)
        assert performer > 2 * bystander


def test_subjects_and_cameras_look_different_and_a_subject_keeps_its_looks_and_room():
    first, again, other_subject, other_camera = (
        make_clip(SMALL, action, *cast).frames
        for action, *cast in ((3, 1, 1, 1), (12, 1, 1, 1), (3, 2, 1, 1), (3, 1, 2, 1))
    )
    corner = np.s_[:, :4, :4]
    assert np.array_equal(first[corner], again[corner])
    assert not np.array_equal(first[corner], other_subject[corner])
    assert not np.array_equal(first[corner], other_camera[corner])


# The figure.


def test_a_standing_figure_has_the_bodys_height_and_its_left_on_the_left():
    angles = angles_of(posture(), mirrored=False)[None]
    (joints,) = joints_in_space(angles, Body(1.8, 1, 1, 1, 1), feet_fixed=False)
    place = {name: joints[index] for name, index in JOINTS.items()}
    assert place["left_eye"][2] == pytest.approx(0.936 * 1.8, rel=0.02)  # eye height of Drillis and Contini
    assert place["left_ankle"][2] == pytest.approx(0.039 * 1.8)
    for joint in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        assert place[f"left_{joint}"][0] > 0 > place[f"right_{joint}"][0]
    assert place["nose"][1] > place["left_ear"][1]


def test_a_mirrored_posture_is_the_mirror_image():
    raised, body = posture(right_arm=(40, 90), left_thigh=(30, 10)), Body(1.7, 1, 1, 1, 1)
    (joints,), (mirrored,) = (
        joints_in_space(angles_of(raised, mirrored=side)[None], body, feet_fixed=False) for side in (False, True)
    )
    other = {"left": "right", "right": "left"}
    sides = [name.partition("_") for name in JOINTS]
    swapped = [JOINTS[f"{other[side]}_{joint}" if joint else side] for side, _, joint in sides]
    assert mirrored[swapped] * [-1, 1, 1] == pytest.approx(joints, abs=1e-12)


# The seed.


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_data_set(dataset, tmp_path):
    generate(tmp_path / "again", SMALL, quiet)
    assert files_of(tmp_path / "again") == files_of(dataset.directory)
    first, other = (make_clip(SynthOptions(seed=seed), 1, 1, 1, 1) for seed in (0, 1))
    assert not np.array_equal(first.keypoints[0], other.keypoints[0])
    assert not np.array_equal(first.frames, other.frames)


@pytest.mark.parametrize("size", [(64, 64), (34, 50)])  # odd numbers of chroma samples, too
def test_a_video_of_the_same_frames_is_the_same_file(tmp_path, size):
    frames = make_clip(SynthOptions(size=size, frames=8), 3, 1, 1, 1).frames
    written = set()
    for _ in range(40):
        write_video(tmp_path / "clip.mp4", frames)
        written.add((tmp_path / "clip.mp4").read_bytes())
    assert len(written) == 1
    decoded = read_frames(tmp_path / "clip.mp4", range(8))
    assert np.abs(decoded.astype(int) - frames).mean() < 8


def test_a_clip_does_not_depend_on_how_many_others_there_are():
    few, many = (make_clip(SynthOptions(clips_per_class=12 * n), 3, 2, 1, 1) for n in (1, 5))
    assert np.array_equal(few.keypoints, many.keypoints)


# The files.


def test_the_pickle_holds_nothing_but_plain_values_and_arrays(dataset):
    class Plain(pickle.Unpickler):
        def find_class(self, module, name):
            assert (module.split(".")[0], name) in {
                ("numpy", "ndarray"),
                ("numpy", "dtype"),
                ("numpy", "_reconstruct"),
                ("numpy", "_frombuffer"),
            }
            return super().find_class(module, name)

    Plain(io.BytesIO((dataset.directory / "annotations.pkl").read_bytes())).load()


def test_annotations_have_mmactions_keys_types_and_shapes(content):
    assert set(content) == {"split", "annotations"}
    persons = set()
    for item in content["annotations"]:
        assert set(item) == {
            "frame_dir", "label", "img_shape", "original_shape", "total_frames", "keypoint", "keypoint_score",
        }  # fmt: skip
        assert type(item["frame_dir"]) is str
        assert type(item["label"]) is int
        assert item["img_shape"] == item["original_shape"] == SMALL.size
        assert item["total_frames"] == SMALL.frames
        people = len(item["keypoint"])
        persons.add(people)
        assert item["keypoint"].shape == (people, SMALL.frames, 17, 2)
        assert item["keypoint_score"].shape == (people, SMALL.frames, 17)
        assert item["keypoint"].dtype == item["keypoint_score"].dtype == np.float32
        assert (item["keypoint"] >= 0).all()
        assert (item["keypoint"] <= 63).all()
        assert 0 < item["keypoint_score"].min() < 0.3  # some joints are lost
        assert item["keypoint_score"].max() <= 1
        assert item["frame_dir"].endswith(f"A{item['label'] + 1:03}")
    assert persons == {1, 2}


def test_the_projects_own_reader_takes_the_annotations(dataset):
    annotations = read_annotations(dataset.directory / "annotations.pkl")
    assert set(annotations.splits) == {"xsub_train", "xsub_val", "xview_train", "xview_val"}
    assert len(annotations.split("xsub_train")) + len(annotations.split("xsub_val")) == dataset.clips == 48


def test_splits_share_no_clip_and_no_subject_or_camera(content):
    every = {item["frame_dir"] for item in content["annotations"]}
    for split, part in (("xsub", slice(8, 12)), ("xview", slice(4, 8))):
        train, val = (content["split"][f"{split}_{half}"] for half in ("train", "val"))
        assert set(train) | set(val) == every
        assert len(train) + len(val) == len(every)
        assert train
        assert val
        assert not {name[part] for name in train} & {name[part] for name in val}


@pytest.mark.parametrize(("clips", "subjects"), [(12, 12), (2, 2), (7, 3), (72, 12), (9, 9)])
def test_no_clip_is_made_twice_and_both_halves_of_each_split_have_every_class(clips, subjects):
    names = clip_names(SynthOptions(clips_per_class=clips, subjects=subjects))
    assert len(set(names)) == len(names) == 12 * clips
    assert {name.performer for name in names} == set(range(1, subjects + 1))
    assert 1 in {name.camera for name in names}
    assert {name.camera for name in names} - {1}
    assert len({name.action for name in names if name.camera == 1}) == 12


def test_a_video_has_the_frames_that_were_drawn(dataset, content):
    for item in content["annotations"][::7]:
        name = item["frame_dir"]
        numbers = [int(name[place : place + 3]) for place in (17, 9, 5, 13)]  # action, performer, camera, repetition
        clip = make_clip(SMALL, *numbers)
        decoded = read_frames(dataset.directory / "videos" / f"{name}.mp4", range(item["total_frames"]))
        assert decoded.shape == clip.frames.shape
        # Chroma at half the size and quantisation: edges differ, areas do not.
        error = np.abs(decoded.astype(int) - clip.frames)
        assert error.mean() < 6
        assert np.median(error) <= 3
        assert np.array_equal(item["keypoint"], clip.keypoints)
    assert len(list((dataset.directory / "videos").iterdir())) == len(content["annotations"])


def test_labels_and_record_say_what_the_data_is(dataset):
    labels = (dataset.directory / "labels.txt").read_text().splitlines()
    assert labels == [action.name for action in ACTIONS]
    record = json.loads((dataset.directory / "dataset.json").read_text())
    assert record["seed"] == SMALL.seed
    assert record["clips"] == dataset.clips
    assert "real video" in record["does_not_show"]
    assert record["splits"] == dataset.splits


# Directories, interruptions, requirements.


def test_an_interrupted_run_leaves_nothing_and_keeps_the_old_data_set(tmp_path):
    def interrupt(done, total):
        if done == 3:
            raise KeyboardInterrupt

    tiny = SynthOptions(size=(32, 32), frames=8, clips_per_class=2, subjects=2)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "new", tiny, interrupt)
    assert list(tmp_path.iterdir()) == []
    generate(tmp_path / "new", tiny, quiet)
    before = files_of(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "new", SMALL, interrupt, overwrite=True)
    assert files_of(tmp_path) == before


def test_a_directory_with_something_else_is_refused_even_with_overwrite(tmp_path):
    (tmp_path / "dataset.json").write_text('{"kind": "somebody else\'s"}')
    with pytest.raises(UsageError, match="not empty"):
        generate(tmp_path, SMALL, quiet, overwrite=True)
    file = tmp_path / "dataset.json"
    with pytest.raises(UsageError, match="not a directory"):
        generate(file, SMALL, quiet, overwrite=True)
    assert list(tmp_path.iterdir()) == [file]


def test_a_data_set_is_replaced_only_with_overwrite(tmp_path):
    tiny = SynthOptions(size=(32, 32), frames=8, clips_per_class=2, subjects=2)
    generate(tmp_path, tiny, quiet)  # an empty directory is fine
    with pytest.raises(UsageError, match="already holds"):
        generate(tmp_path, tiny, quiet)
    summary = generate(tmp_path, SynthOptions(1, (32, 32), 8, 2, 2), quiet, overwrite=True)
    assert json.loads((tmp_path / "dataset.json").read_text())["seed"] == 1
    assert summary.size_bytes == sum(len(data) for data in files_of(tmp_path).values())


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": (63, 64)},
        {"size": (64, 2048)},
        {"size": (16, 64)},
        {"frames": 4},
        {"subjects": 1},
        {"subjects": 1000, "clips_per_class": 1000},
        {"clips_per_class": 3, "subjects": 4},
        {"seed": -1},
    ],
)
def test_options_that_cannot_work_are_refused(wrong):
    with pytest.raises(UsageError):
        SynthOptions(**wrong)


@pytest.mark.parametrize("module", ["cv2", "av"])
def test_a_missing_package_is_named_before_anything_is_written(monkeypatch, tmp_path, module):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(MissingRequirementError, match=r"x3ddeploy\[video\]"):
        generate(tmp_path / "new", SMALL, quiet)
    assert list(tmp_path.iterdir()) == []
