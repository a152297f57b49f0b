"""Clips come from where users have them, are what the network takes, and anything else is refused by its name."""

import json

import msgspec
import numpy as np
import pytest
from support.action_data import annotation, moving_picture, write_annotations, write_video
from support.present import of_type

from x3ddeploy.data.annotations import Annotations
from x3ddeploy.data.sources import open_source
from x3ddeploy.data.sources.script import keep_clips
from x3ddeploy.data.subset import balanced_choice, leaking_names, subject_of
from x3ddeploy.errors import DataError, UsageError, X3DDeployError
from x3ddeploy.families.two_stream_x3d.contract import two_stream_contract
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.modalities import Frames, modalities_of
from x3ddeploy.modalities.synthetic import batch_inputs, synthetic_clip

TINY = PRESETS["tiny"]
CONTRACT = two_stream_contract(TINY, (1, 1), None, {})
NAMES = ("S001C001P001R001A001", "S001C002P001R001A002", "S001C001P003R001A001")


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    """Two videos to train on and one to test on."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "videos").mkdir()
    for seed, name in enumerate(NAMES):
        write_video(folder / "videos" / f"{name}.mp4", moving_picture(20, 64, 64, seed))
    entries = [annotation(name, index, frames=20, size=(64, 64), seed=index) for index, name in enumerate(NAMES)]
    write_annotations(folder / "annotations.pkl", entries, {"xsub_train": NAMES[:2], "xsub_val": NAMES[2:]})
    return folder


def ready(clips=None, **changes):
    """Tensors of one clip, or of `clips` with their axis in front."""
    inputs = batch_inputs(CONTRACT.inputs, clips or 1, seed=1)
    return {**{name: value if clips else value[0] for name, value in inputs.items()}, **changes}


def folder_of(path, **files):
    path.mkdir()
    for name, arrays in files.items():
        np.savez(path / f"{name}.npz", **arrays)
    return path


def test_a_data_set_gives_the_clips_of_a_split(data_set):
    source = open_source(data_set, CONTRACT, split="xsub_train")
    assert (len(source), source.split) == (2, "xsub_train")
    assert (source.names(), source.labels()) == (list(NAMES[:2]), [0, 1])
    clip = source.load(1)
    assert (clip.name, clip.label) == (NAMES[1], 1)
    assert {name: value.shape for name, value in clip.inputs.items()} == TINY.input_shapes()
    assert clip.inputs["heatmap_imgs"].max() > 0.2


def test_annotations_and_videos_may_lie_apart(data_set, tmp_path):
    annotations = tmp_path / "ntu.pkl"
    annotations.write_bytes((data_set / "annotations.pkl").read_bytes())
    with pytest.raises(UsageError, match="no folder of videos"):
        open_source(annotations, CONTRACT, split="xsub_val")
    source = open_source(annotations, CONTRACT, split="xsub_val", videos=data_set / "videos")
    assert source.names() == [NAMES[2]]


def test_several_clips_a_video_stand_in_front(data_set):
    clip = open_source(data_set, CONTRACT, split="xsub_val", clips=3).load(0)
    assert {name: value.shape for name, value in clip.inputs.items()} == TINY.input_shapes(3)
    assert not np.array_equal(clip.inputs["imgs"][0], clip.inputs["imgs"][1])


def test_one_of_several_splits_must_be_chosen(data_set):
    with pytest.raises(UsageError, match="xsub_train, xsub_val"):
        open_source(data_set, CONTRACT)


def test_a_folder_without_the_videos_is_told_at_once(data_set, tmp_path):
    with pytest.raises(DataError, match="none of the 2 videos"):
        open_source(data_set, CONTRACT, split="xsub_train", videos=tmp_path)


def test_classes_that_the_network_does_not_have_are_told(tmp_path):
    write_annotations(tmp_path / "annotations.pkl", [annotation("a", TINY.head.classes)], {"val": ["a"]})
    (tmp_path / "videos").mkdir()
    with pytest.raises(DataError, match="label 6, and the network has 6 classes"):
        open_source(tmp_path, CONTRACT)


def test_ready_tensors_are_given_as_they_are(tmp_path):
    arrays = ready()
    folder = folder_of(tmp_path / "clips", b={**arrays, "label": 3}, a=ready(1))
    source = open_source(folder, CONTRACT)
    assert (source.names(), source.labels()) == (["a", "b"], [None, 3])
    for index in range(2):
        clip = source.load(index)
        assert {name: value.shape for name, value in clip.inputs.items()} == TINY.input_shapes()
        np.testing.assert_array_equal(clip.inputs["imgs"][0], arrays["imgs"])


def test_raw_clips_that_are_sampled_and_sized_keep_their_pixels(tmp_path):
    raw = synthetic_clip(CONTRACT.inputs, seed=2)
    keypoints = np.full_like(raw.keypoints, 15) + raw.scores[..., None]  # so small that nothing is cropped
    arrays = {"frames": raw.frames, "keypoints": keypoints, "keypoint_scores": raw.scores}
    clip = open_source(folder_of(tmp_path / "clips", a=arrays), CONTRACT).load(0)
    frames = of_type(Frames, modalities_of(CONTRACT.inputs)["imgs"])
    np.testing.assert_array_equal(clip.inputs["imgs"][0], frames.normalise(raw.frames))


def test_raw_clips_give_what_the_video_they_come_from_gives(data_set, tmp_path):
    from x3ddeploy.data.video import read_frames

    item = annotation(NAMES[2], 2, frames=20, size=(64, 64), seed=2)
    arrays = {
        "frames": read_frames(data_set / "videos" / f"{NAMES[2]}.mp4", range(20)),
        "keypoints": item["keypoint"],
        "keypoint_scores": item["keypoint_score"],
        "label": 2,
    }
    expected = open_source(data_set, CONTRACT, split="xsub_val").load(0)
    clip = open_source(folder_of(tmp_path / "clips", a=arrays), CONTRACT).load(0)
    assert clip.label == expected.label
    for name, value in expected.inputs.items():
        np.testing.assert_array_equal(clip.inputs[name], value)


def swapped():
    arrays = ready()
    return {"imgs": arrays["heatmap_imgs"], "heatmap_imgs": arrays["imgs"]}


def with_nan():
    arrays = ready()
    arrays["heatmap_imgs"][3, 2, 1, 0] = np.nan
    return arrays


RAW = {
    "frames": np.zeros((4, 8, 8, 3), np.uint8),
    "keypoints": np.zeros((1, 6, 17, 2), np.float32),
    "keypoint_scores": np.zeros((1, 6, 17), np.float32),
}
UNUSABLE = {
    "swapped": (swapped(), "names are swapped"),
    "shape": (ready(imgs=np.zeros((3, 5, 32, 32), np.float32)), r"imgs has shape \(3, 5, 32, 32\)"),
    "nan": (with_nan(), "1 of .* values of heatmap_imgs are NaN"),
    "bytes": (ready(imgs=np.zeros((3, 4, 32, 32), np.uint8)), "imgs is of type uint8"),
    "names": ({"rgb": ready()["imgs"]}, "holds rgb"),
    "counts": (ready(2, imgs=ready(1)["imgs"]), "unequal numbers"),
    "clips": (ready(2), "holds 2 clips, and 1 were asked for"),
    "raw names": ({"frames": RAW["frames"]}, "raw clips hold"),
    "raw frames": ({**RAW, "frames": np.zeros((4, 8, 8, 3), np.float32)}, "not uint8"),
    "raw keypoints": ({**RAW, "keypoints": np.zeros((6, 17, 2), np.float32)}, "not floating"),
    "raw scores": ({**RAW, "keypoint_scores": np.zeros((1, 6, 16), np.float32)}, "keypoint_scores are"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_the_network_does_not_take_is_refused_by_its_name(tmp_path, case):
    arrays, said = UNUSABLE[case]
    source = open_source(folder_of(tmp_path / "clips", a=arrays), CONTRACT)
    with pytest.raises(DataError, match=said) as caught:
        source.load(0)
    assert "a.npz" in caught.value.message


@pytest.mark.parametrize("label", [1.5, [1, 2], 99])
def test_labels_that_are_no_class_are_refused_at_once(tmp_path, label):
    with pytest.raises(DataError, match="label"):
        open_source(folder_of(tmp_path / "clips", a=ready(label=label)), CONTRACT)


def test_pickled_objects_in_npz_files_are_not_loaded(tmp_path):
    folder = folder_of(tmp_path / "clips", a=ready(extra=np.array([{}], object)))
    with pytest.raises(DataError, match=r"a\.npz cannot be read"):
        open_source(folder, CONTRACT).load(0)


SCRIPT = """
import numpy as np

def load_data():
    for batch in (2, 1):
        shapes = {shapes}
        yield {{name: np.full((batch, *shape), batch, np.float32) for name, shape in shapes.items()}}
"""
SHAPES = {name: shape[1:] for name, shape in TINY.input_shapes().items()}


def test_a_script_gives_every_clip_of_its_feeds(tmp_path):
    (tmp_path / "loader.py").write_text(SCRIPT.format(shapes=SHAPES))
    source = open_source(tmp_path / "loader.py", CONTRACT)
    assert (source.names(), source.labels()) == (["loader[0]", "loader[1]", "loader[2]"], [None] * 3)
    assert [source.load(index).inputs["imgs"].max() for index in (2, 0, 1)] == [1, 2, 2]
    assert {name: value.shape for name, value in source.load(0).inputs.items()} == TINY.input_shapes()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", "defines no function load_data"),
        ("def load_data():\n    yield from ()", "yields nothing"),
        ("def load_data():\n    yield 1 / 0", "line 2 fails: ZeroDivisionError"),
        ("def load_data(:", "SyntaxError"),
        ("def load_data():\n    raise SystemExit(0)", "line 2 fails: SystemExit: 0"),
        ("import sys\nsys.exit(0)", "line 2 fails: SystemExit: 0"),
        ("def load_data():\n    raise KeyboardInterrupt", "line 2 fails: KeyboardInterrupt"),
        (SCRIPT.format(shapes=SHAPES).replace("batch, np.float32", "np.nan, np.float32"), "values of imgs are NaN"),
        ("def load_data():\n    yield [1]", "feed 0 is no dict"),
        (SCRIPT.format(shapes={**SHAPES, "imgs": (3, 4, 8, 8)}), "feed 0: imgs has shape"),
    ],
)
def test_what_is_wrong_with_a_script_is_told(tmp_path, text, said):
    (tmp_path / "loader.py").write_text(text)
    request = {
        "script": str(tmp_path / "loader.py"),
        "spool": str(tmp_path),
        "inputs": msgspec.to_builtins(CONTRACT.inputs),
    }
    with pytest.raises(DataError, match=said):
        keep_clips(request, print)


@pytest.mark.parametrize("leave", ["os._exit(0)", "sys.exit(0)", "os.close(1), os.close(2), os._exit(0)"])
def test_a_script_that_leaves_the_process_has_given_no_clips(tmp_path, capfd, leave):
    text = f"import os, sys\nprint('{{\"result\": 3}}', flush=True)\n{leave}\n"
    (tmp_path / "loader.py").write_text(text)
    with pytest.raises(X3DDeployError, match=r"exit code 0 and no answer|line 3 fails: SystemExit: 0"):
        open_source(tmp_path / "loader.py", CONTRACT)
    assert capfd.readouterr().out == ""  # stdout is for results of the command


def test_a_script_among_other_files_is_not_run(tmp_path):
    (tmp_path / "loader.py").write_text("raise SystemExit('ran')")
    with pytest.raises(UsageError, match="no source of clips"):
        open_source(tmp_path, CONTRACT)


@pytest.mark.parametrize("name", ["absent", "file.txt", "empty"])
def test_other_paths_are_answered_with_what_is_accepted(tmp_path, name):
    (tmp_path / "file.txt").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError) as caught:
        open_source(tmp_path / name, CONTRACT)
    for form in ("annotations.pkl", ".npz", ".py", ".pkl"):
        assert form in str(caught.value)


def test_options_that_do_not_fit_are_not_ignored(tmp_path, data_set):
    folder = folder_of(tmp_path / "clips", a=ready())
    with pytest.raises(UsageError, match="no split and no videos"):
        open_source(folder, CONTRACT, split="xsub_val", videos=data_set)


def test_descriptions_change_with_what_the_clips_are_made_of(data_set, tmp_path):
    def described(path, **options):
        return json.dumps(open_source(path, CONTRACT, **options).description, sort_keys=True)

    first = folder_of(tmp_path / "first", a=ready())
    again = folder_of(tmp_path / "again", a=ready())
    other = folder_of(tmp_path / "other", a=ready(label=1))
    assert described(first) == described(again) != described(other)
    train = described(data_set, split="xsub_train")
    assert train == described(data_set, split="xsub_train") != described(data_set, split="xsub_val")
    assert train != described(data_set, split="xsub_train", clips=2)


def test_a_balanced_choice_takes_of_every_class_alike():
    labels = [0] * 50 + [1] * 50 + [2] * 3 + [None] * 20
    chosen = balanced_choice(labels, 40, seed=1)
    assert len(set(chosen)) == 40
    counts = [sum(labels[index] == label for index in chosen) for label in (0, 1, 2, None)]
    assert counts[2] == 3
    assert max(counts[0], counts[1], counts[3]) - min(counts[0], counts[1], counts[3]) <= 1
    assert {labels[index] for index in chosen[:4]} == {0, 1, 2, None}  # each beginning is balanced
    assert balanced_choice(labels, 40, seed=1) == chosen
    assert balanced_choice(labels, 40, seed=2) != chosen


def test_a_balanced_choice_is_the_same_everywhere():
    assert balanced_choice([0, 1, 0, 1, 0, 1], 4, seed=0) == [0, 3, 2, 1]


@pytest.mark.parametrize("count", [0, 4])
def test_more_clips_than_there_are_cannot_be_chosen(count):
    with pytest.raises(UsageError, match="there are 3"):
        balanced_choice([0, 1, 2], count, seed=0)


def test_subjects_are_read_off_ntus_names():
    assert subject_of("videos/S017C003P020R002A060") == "P020"
    assert subject_of("v_ApplyEyeMakeup_g01_c01") is None


@pytest.mark.parametrize(
    ("split", "leaking"),
    [
        ("xsub_train", ["S001C003P002R001A002"]),  # its subject is in xsub_val
        ("xview_train", ["S001C001P001R001A001"]),  # it is in xview_val itself; subjects are shared there
        (None, ["S001C001P001R001A001", "S001C003P002R001A002"]),
    ],
)
def test_clips_that_leak_what_is_measured_are_found_by_the_splits_protocol(split, leaking):
    first, second, held = "S001C001P001R001A001", "S001C003P002R001A002", "S002C002P002R001A001"
    splits = {
        "xsub_train": (first, second),
        "xsub_val": (held,),
        "xview_train": (second, held),
        "xview_val": (first,),
    }
    assert list(leaking_names((first, second), Annotations(splits, {}), split)) == leaking
