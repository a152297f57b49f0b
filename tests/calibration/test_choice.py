"""Which clips calibrate: the training split, balanced, and never what accuracy is measured on."""

import pickle
from collections import Counter

import numpy as np
import pytest
from support.clip_files import write_clip
from support.present import present

from x3ddeploy.calibration.choice import choose_clips, random_clips
from x3ddeploy.calibration.recipe import Recipe, read_recipe
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.families.two_stream_x3d.contract import two_stream_contract
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.modalities.synthetic import batch_inputs

SPEC = PRESETS["tiny"]
CONTRACT = two_stream_contract(SPEC, (1, 1), None, {})


def name(performer, action, repetition=1):
    return f"S001C001P{performer:03}R{repetition:03}A{action:03}"


@pytest.fixture
def data_set(tmp_path):
    """Annotations and empty video files: a choice decodes nothing. Performers 1 to 3 train, 4 is held out."""
    members = {
        "xsub_train": [name(p, a, r) for p in (1, 2, 3) for a in (1, 2, 3) for r in (1, 2)],
        "xsub_val": [name(4, a) for a in (1, 2, 3)],
    }

    def write(splits=members):
        names = sorted({clip for names in splits.values() for clip in names})
        annotations = [
            {
                "frame_dir": clip,
                "label": int(clip[-3:]) - 1,
                "img_shape": (32, 32),
                "original_shape": (32, 32),
                "total_frames": 8,
                "keypoint": np.zeros((1, 8, 17, 2), np.float32),
                "keypoint_score": np.ones((1, 8, 17), np.float32),
            }
            for clip in names
        ]
        (tmp_path / "videos").mkdir(exist_ok=True)
        for clip in names:
            (tmp_path / "videos" / f"{clip}.mp4").write_bytes(b"video")
        (tmp_path / "annotations.pkl").write_bytes(pickle.dumps({"split": splits, "annotations": annotations}))
        return tmp_path, members

    return write


def test_the_training_split_calibrates_and_the_held_out_split_judges(data_set):
    path, members = data_set()
    chosen = choose_clips(Recipe(data=str(path), clips=6), CONTRACT)
    assert set(chosen.calibration.names()) <= set(members["xsub_train"])
    assert Counter(chosen.calibration.labels()) == {0: 2, 1: 2, 2: 2}
    assert present(chosen.evaluation).names() == members["xsub_val"]


def test_the_choice_depends_on_the_seed_and_on_nothing_else(data_set):
    path, _ = data_set()
    names = [
        choose_clips(Recipe(data=str(path), clips=6, seed=seed), CONTRACT).calibration.names() for seed in (1, 1, 2)
    ]
    assert names[0] == names[1] != names[2]


def test_calibrating_with_the_held_out_split_is_refused(data_set):
    path, members = data_set()
    with pytest.raises(DataError, match="accuracy is measured on") as error:
        choose_clips(Recipe(data=str(path), clips=3, split="xsub_val"), CONTRACT)
    assert members["xsub_val"][0] in error.value.details


def test_another_clip_of_a_held_out_person_is_a_leak(data_set):
    _, members = data_set()
    path, _ = data_set({**members, "xsub_train": [*members["xsub_train"], name(4, 1, 2)]})
    with pytest.raises(DataError, match="1 of the calibration clips"):
        choose_clips(Recipe(data=str(path), clips=100), CONTRACT)


def test_judging_with_clips_that_calibrate_is_refused(data_set):
    path, _ = data_set()
    with pytest.raises(DataError, match="eval-split"):
        choose_clips(Recipe(data=str(path), clips=6, eval_split="xsub_train"), CONTRACT)


def test_several_training_splits_of_no_known_protocol_must_be_told_apart(data_set):
    _, members = data_set()
    path, _ = data_set({"a_train": members["xsub_train"], "b_train": members["xsub_val"]})
    with pytest.raises(UsageError, match="calib-split"):
        choose_clips(Recipe(data=str(path)), CONTRACT)


def test_no_data_is_refused_with_the_way_out():
    with pytest.raises(UsageError, match="--calib"):
        choose_clips(Recipe(), CONTRACT)


def test_a_folder_without_splits_is_divided(tmp_path):
    shapes = SPEC.input_shapes()
    for index in range(9):
        arrays = {key: np.full(shape[1:], index, np.float32) for key, shape in shapes.items()}
        write_clip(tmp_path / f"clip{index}.npz", label=np.int64(index % 2), **arrays)
    chosen = choose_clips(Recipe(data=str(tmp_path), clips=100), CONTRACT)
    calibrating, judging = set(chosen.calibration.names()), set(present(chosen.evaluation).names())
    assert len(calibrating) == 5
    assert len(judging) == 4
    assert not calibrating & judging


def test_made_up_clips_judge_nothing_and_say_what_they_are():
    chosen = random_clips(CONTRACT, Recipe(clips=3))
    assert chosen.evaluation is None
    assert chosen.calibration.source.description["kind"] == "random"
    assert [clip.inputs["imgs"].shape for clip in chosen.calibration.load()] == [SPEC.input_shapes()["imgs"]] * 3


def test_a_recipe_is_read_and_its_mistakes_are_told(tmp_path):
    file = tmp_path / "recipe.toml"
    file.write_text('data = "synth"\nclips = 40\nmethod = "entropy"\nmax_drop = 1\n')
    assert read_recipe(file) == Recipe(data="synth", clips=40, method="entropy", max_drop=1.0)
    for text, named in (
        ("clipps = 3", "clipps"),
        ("clips = 0", "at least 1"),
        ("clips = 1" + "0" * 30, "at most"),
        ("seed = -1", "seed = -1"),
        ("eval_clips = -1", "eval_clips = -1"),
        ("max_drop = nan", "max_drop = nan"),
        ("max_drop = inf", "max_drop = inf"),
        ("max_drop = -0.1", "max_drop = -0.1"),
        ("clips = 3.5", "clips"),
        ("data = " + "[" * 5000, "recursion"),
        ('method = "x"', "'x'"),
        ("a =", "recipe"),
    ):
        file.write_text(text)
        with pytest.raises(UsageError, match=named):
            read_recipe(file)


def test_a_clip_without_a_person_neither_calibrates_nor_judges(tmp_path):
    for index in range(2):
        inputs = batch_inputs(CONTRACT.inputs, 1, seed=index)
        inputs["heatmap_imgs"] = np.zeros_like(inputs["heatmap_imgs"])
        write_clip(tmp_path / f"clip{index}.npz", **inputs)
    chosen = choose_clips(Recipe(data=str(tmp_path), clips=1), CONTRACT)
    for clips in (chosen.calibration, chosen.evaluation):
        with pytest.raises(DataError, match=r"clip\d of .* shows no person"):
            list(present(clips).load())
