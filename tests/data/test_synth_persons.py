"""Pictures of persons and videos of two performers: joints and boxes are where the figures are drawn."""

import json
from itertools import groupby

import numpy as np
import pytest
from support.documents import of_its_type

from x3ddeploy.data.synth import PictureOptions, SynthOptions, generate, generate_pictures
from x3ddeploy.data.synth.actions import ACTIONS, Scenery
from x3ddeploy.data.synth.pictures import make_picture
from x3ddeploy.data.synth.skeleton import JOINTS
from x3ddeploy.data.synth.together import make_together
from x3ddeploy.data.video import read_frames
from x3ddeploy.errors import UsageError

pytest.importorskip("cv2")
pytest.importorskip("av")

OPTIONS = PictureOptions(seed=3, pictures=20, size=(64, 64), subjects=8)


def quiet(done, total):
    pass


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures") / "people"
    return folder, generate_pictures(folder, OPTIONS, quiet)


def test_every_picture_and_person_is_in_coco_form(pictures):
    folder, record = pictures
    persons = 0
    for name, count in record.splits.items():
        content = json.loads((folder / f"person_keypoints_{name}.json").read_text())
        assert len(content["images"]) == count
        assert len(content["categories"][0]["keypoints"]) == 17
        of_picture = groupby(content["annotations"], lambda annotation: annotation["image_id"])
        assert {number for number, _ in of_picture} == {image["id"] for image in content["images"]}
        for annotation in content["annotations"]:
            points = np.reshape(annotation["keypoints"], (17, 3))
            x, y, width, height = annotation["bbox"]
            seen = points[points[:, 2] > 0]
            assert annotation["num_keypoints"] == len(seen)
            assert (seen[:, :2] >= (x - 0.01, y - 0.01)).all()
            assert (seen[:, :2] <= (x + width + 0.01, y + height + 0.01)).all()
        persons += len(content["annotations"])
    assert (sum(record.splits.values()), persons) == (20, record.persons)
    assert len(list((folder / "images").iterdir())) == 20
    assert json.loads((folder / "dataset.json").read_text())["seed"] == 3


def test_joints_are_where_the_figures_are_drawn():
    """Where a wrist is to be seen the picture is not as empty as the room: skin, or the object in the hand."""
    lit = []
    for number in range(1, 21):
        picture = make_picture(OPTIONS, number)
        wall = np.median(picture.image[:4].reshape(-1, 3), 0)
        for joints, visibility in zip(picture.joints, picture.visibility, strict=True):
            for side in ("left_wrist", "right_wrist"):
                if visibility[JOINTS[side]] == 2:
                    x, y = joints[JOINTS[side]].round().astype(int)
                    lit.append(np.abs(picture.image[y, x] - wall).max() > 25)
    assert len(lit) > 40
    assert np.mean(lit) > 0.9


def test_some_pictures_show_one_and_some_two_and_what_a_counter_hides_is_said():
    made = [make_picture(OPTIONS, number) for number in range(1, 60)]
    assert {len(picture.joints) for picture in made} == {1, 2}
    assert {picture.image.shape[:2] for picture in made} == {(64, 64), (64, 96)}
    hidden = [picture for picture in made if (picture.visibility == 1).any()]
    for picture in hidden:
        assert (picture.visibility[:, JOINTS["left_ankle"]] < 2).all()
    assert hidden


def test_a_picture_is_a_function_of_seed_and_number(pictures, tmp_path):
    folder, _ = pictures
    generate_pictures(tmp_path / "again", OPTIONS, quiet)
    for file in sorted(folder.rglob("*.*")):
        assert file.read_bytes() == (tmp_path / "again" / file.relative_to(folder)).read_bytes(), file
    first, more = make_picture(OPTIONS, 7), make_picture(PictureOptions(3, 1000, (64, 64), 8), 7)
    assert np.array_equal(first.image, more.image)
    assert not np.array_equal(first.image, make_picture(PictureOptions(4, 20, (64, 64), 8), 7).image)


def test_sets_that_cannot_be_made_are_refused():
    for pictures, size, subjects in ((9, (64, 64), 8), (20, (64, 64), 7), (20, (63, 64), 8)):
        with pytest.raises(UsageError):
            PictureOptions(0, pictures, size, subjects)


def test_two_performers_who_are_held_out_do_something_else_each(tmp_path):
    options = SynthOptions(0, (32, 32), 8, 8, 8, together=5)
    generate(tmp_path / "actions", options, quiet)
    files = sorted((tmp_path / "actions" / "together").iterdir())
    made = [make_together(options, number) for number in range(1, 6)]
    assert [file.stem for file in files] == [video.name for video in made]
    for file, video in zip(files, made, strict=True):
        left, right = video.parts
        assert left.action != right.action
        assert {left.performer, right.performer} == {7, 8}
        assert all(ACTIONS[part.action - 1].scenery is Scenery.NONE for part in video.parts)
        (frame,) = read_frames(file, [4])
        assert frame.shape == (32, 48, 3)
        assert np.abs(frame.astype(int) - video.frames[4]).mean() < 8


def test_each_of_two_performers_holds_what_belongs_to_the_action():
    def saturated(half):
        return (half.max(-1).astype(int) - half.min(-1) > 170).any()

    checked = 0
    for number in range(1, 12):
        video = make_together(SynthOptions(), number)
        middle = video.frames.shape[2] // 2
        for place, part in enumerate(video.parts):
            half = video.frames[:, :, :middle] if place == 0 else video.frames[:, :, middle:]
            assert saturated(half) == (ACTIONS[part.action - 1].held is not None), video.name
            checked += 1
    assert checked == 22


def test_the_command_writes_pictures_and_refuses_what_is_of_clips(run, tmp_path):
    common = ("synth", "people", "--pictures", 10, "--subjects", 8, "--size", "32x32")
    process = run(*common, "--json", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert of_its_type("synth-pictures", process.stdout)["splits"] == {"train": 9, "val": 1}
    again = run(*common, "--overwrite", cwd=tmp_path)
    assert "10 pictures of" in again.stdout
    refused = run(*common, "--overwrite", "--frames", 9, "--together", 2, cwd=tmp_path)
    assert refused.returncode == 2
    assert "pictures have no frames, together" in refused.stderr
