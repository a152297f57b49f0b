"""Every form of keypoint file gives the same keypoints; what is missing or contradicts the video is told by name."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from support.made_videos import FRAMES, HEIGHT, WIDTH, coco, entry, make_keypoints, write_coco, write_npz, write_pickle

from x3ddeploy.data.video import VideoInfo
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.prediction.coco_keypoints import read_coco_keypoints
from x3ddeploy.prediction.inputs import KeypointFiles, find_videos
from x3ddeploy.prediction.keypoints import checked_keypoints, read_npz_keypoints
from x3ddeploy.prediction.pickled_keypoints import PickledKeypoints

POSITIONS, SCORES = make_keypoints()

CLIPS = clip_inputs(PRESETS["tiny"])


def test_every_form_gives_the_same_keypoints(tmp_path):
    single = tmp_path / "single.pkl"
    single.write_bytes(pickle.dumps(entry("clip", POSITIONS, SCORES)))  # MMAction2's pose extraction writes this
    forms = [
        read_npz_keypoints(write_npz(tmp_path / "a.npz", POSITIONS, SCORES)),
        read_coco_keypoints(write_coco(tmp_path / "a.json", coco(POSITIONS, SCORES))),
        PickledKeypoints.read(write_pickle(tmp_path / "a.pkl", entry("clip", POSITIONS, SCORES))).of(Path("clip.mp4")),
        PickledKeypoints.read(single).of(Path("clip.mp4")),
    ]
    for found in forms:
        np.testing.assert_array_equal(found.positions, POSITIONS)
        np.testing.assert_array_equal(found.scores, SCORES)
        assert found.frames == FRAMES
    assert [found.image_size for found in forms] == [None, *[(HEIGHT, WIDTH)] * 3]


def test_coco_images_without_frame_index_are_frames_in_the_order_of_their_ids(tmp_path):
    content = coco(POSITIONS, SCORES)
    for image in content["images"]:
        image["id"] = image.pop("frame_index")
    for annotation in content["annotations"]:
        annotation["image_id"] = 100 - annotation["image_id"]
    found = read_coco_keypoints(write_coco(tmp_path / "a.json", content))
    np.testing.assert_array_equal(found.positions, POSITIONS)


def test_coco_frames_may_have_fewer_persons_or_none(tmp_path):
    content = coco(POSITIONS, SCORES)
    content["annotations"] = [item for item in content["annotations"] if item["image_id"] not in (100, 97)]
    content["annotations"] += [coco(POSITIONS, SCORES)["annotations"][0]]  # one person in frame 0
    found = read_coco_keypoints(write_coco(tmp_path / "a.json", content))
    assert found.positions.shape == POSITIONS.shape
    np.testing.assert_array_equal(found.positions[0, 0], POSITIONS[0, 0])
    assert not found.scores[1, 0].any()
    assert not found.scores[:, 3].any()
    assert not found.positions[:, 3].any()


@pytest.mark.parametrize(
    ("third", "expected"),
    [((0, 1, 2), (0, 1, 1)), ((0.0, 0.5, 0.9), (0, 0.5, 0.9)), ((0.1, 2.0, 0.9), (0.1, 2.0, 0.9))],
    ids=["visibility", "scores", "scores over one"],
)
def test_coco_visibilities_become_scores_and_scores_stay(tmp_path, third, expected):
    values = [number for v in third for number in (5, 6, v)]
    content = {"images": [{"id": 1}], "annotations": [{"image_id": 1, "keypoints": values}]}
    found = read_coco_keypoints(write_coco(tmp_path / "a.json", content))
    np.testing.assert_allclose(found.scores[0, 0], expected)


def without(key, content):
    del content[key][0]["id" if key == "images" else "image_id"]
    return content


def with_image(**values):
    content = coco(POSITIONS, SCORES)
    content["images"][0].update(values)
    return content


def with_annotation(**values):
    content = coco(POSITIONS, SCORES)
    content["annotations"][0].update(values)
    return content


COCO_FAULTS = {
    "a list of results": ([{"image_id": 1, "keypoints": []}], "holds no COCO keypoints"),
    "no images": ({"images": [], "annotations": []}, "holds no COCO keypoints"),
    "no id": (without("images", coco(POSITIONS, SCORES)), "missing required field `id`"),
    "no image_id": (without("annotations", coco(POSITIONS, SCORES)), "missing required field `image_id`"),
    "a frame twice": (with_image(frame_index=3), "no frame_index 19"),
    "a frame that is a word": (with_image(frame_index="3"), "Expected `int | null`, got `str`"),
    "an id twice": (with_image(id=100), "id occurs twice"),
    "an unknown image": (with_annotation(image_id=5), "the image 5, which is not there"),
    "numbers that are no triples": (with_annotation(keypoints=[1, 2]), "not x, y, v by joint"),
    "words": (with_annotation(keypoints=["a", "b", "c"]), "Expected `float`, got `str`"),
    "other joints": (with_annotation(keypoints=[1, 2, 1]), "unequal numbers of joints: 1, 17"),
    "sizes": (with_image(height=7), "unequal sizes"),
    "nobody": ({**coco(POSITIONS, SCORES), "annotations": []}, "no annotation"),
    "rows": ({"images": [3], "annotations": []}, "Expected `object`, got `int`"),
}


@pytest.mark.parametrize("case", COCO_FAULTS)
def test_what_is_wrong_with_coco_json_is_told(tmp_path, case):
    content, said = COCO_FAULTS[case]
    with pytest.raises(DataError, match=said) as caught:
        read_coco_keypoints(write_coco(tmp_path / "a.json", content))
    assert "a.json" in caught.value.message
    assert "image_id" in caught.value.hint


@pytest.mark.parametrize("data", [b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_told(tmp_path, data):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.json holds no COCO keypoints of a video"):
        read_coco_keypoints(tmp_path / "a.json")


def test_npz_files_that_lack_an_array_or_hold_objects_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", poses=POSITIONS)
    with pytest.raises(DataError, match="lacks keypoints: it holds poses"):
        read_npz_keypoints(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", keypoints=np.array([{}], object), keypoint_scores=SCORES)
    with pytest.raises(DataError, match=r"b\.npz cannot be read"):
        read_npz_keypoints(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"c\.npz cannot be read"):
        read_npz_keypoints(tmp_path / "c.npz")


@pytest.mark.parametrize(
    ("positions", "scores", "said"),
    [
        (POSITIONS[0], SCORES, r"shape \(20, 17, 2\)"),
        (POSITIONS[:, :0], SCORES[:, :0], "of no frame"),
        (POSITIONS, SCORES[:1], "keypoint scores have shape"),
        (POSITIONS.astype("U8"), SCORES, "of type <U8"),
        ([[1], [1, 2]], SCORES, "are no array but list"),
    ],
)
def test_arrays_that_are_no_keypoints_are_refused(positions, scores, said):
    with pytest.raises(DataError, match=said):
        checked_keypoints("here", positions, scores, None)


def test_a_video_is_found_in_a_pickle_by_its_name_or_the_last_part_of_it(tmp_path):
    other = make_keypoints(seed=1)
    path = write_pickle(tmp_path / "a.pkl", entry("wave/clip", POSITIONS, SCORES), entry("wave/other", *other))
    np.testing.assert_array_equal(PickledKeypoints.read(path).of(Path("other.mp4")).positions, other[0])
    with pytest.raises(DataError, match="no entries for the video 'absent'") as caught:
        PickledKeypoints.read(path).of(Path("absent.mp4"))
    assert "wave/clip" in caught.value.details
    path = write_pickle(tmp_path / "b.pkl", entry("a/clip", POSITIONS, SCORES), entry("b/clip", *other))
    with pytest.raises(DataError, match="2 entries for the video 'clip'"):
        PickledKeypoints.read(path).of(Path("clip.mp4"))


class Harmful:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("content", [[1, 2], {"annotations": 3}, {"annotations": [{"label": 1}]}, Harmful()])
def test_pickles_of_another_kind_are_refused_and_not_executed(tmp_path, content, capsys):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=r"a\.pkl"):
        PickledKeypoints.read(tmp_path / "a.pkl")
    assert not capsys.readouterr().out


@pytest.mark.parametrize("size", [(0, 5), "ab", (1, 2, 3), 7])
def test_an_entry_with_a_size_that_is_none_is_refused(tmp_path, size):
    path = write_pickle(tmp_path / "a.pkl", {**entry("clip", POSITIONS, SCORES), "img_shape": size})
    with pytest.raises(DataError, match="img_shape"):
        PickledKeypoints.read(path).of(Path("clip.mp4"))


def test_frame_counts_that_disagree_name_both_files(tmp_path):
    keypoints = read_npz_keypoints(write_npz(tmp_path / "pose.npz", POSITIONS, SCORES))
    with pytest.raises(DataError, match=r"clip\.mp4 has 21 frames, and .*pose\.npz has keypoints of 20"):
        keypoints.of_video(tmp_path / "clip.mp4", VideoInfo(21, HEIGHT, WIDTH, None))


def test_keypoints_lie_beside_the_video_or_in_a_folder_under_its_name(tmp_path):
    (tmp_path / "poses").mkdir()
    video = tmp_path / "clip.mp4"
    video.touch()
    with pytest.raises(DataError, match=r"clip\.mp4 has no keypoints: there is no clip\{\.npz,\.json"):
        KeypointFiles(None, 1).of(video)
    write_npz(tmp_path / "clip.npz", POSITIONS, SCORES)
    assert KeypointFiles(None, 1).of(video).where == str(tmp_path / "clip.npz")
    write_coco(tmp_path / "poses" / "clip.json", coco(POSITIONS, SCORES))
    assert KeypointFiles(tmp_path / "poses", 1).of(video).where == str(tmp_path / "poses" / "clip.json")
    write_coco(tmp_path / "clip.json", coco(POSITIONS, SCORES))
    with pytest.raises(DataError, match=r"keypoints in .*clip\.npz and in .*clip\.json"):
        KeypointFiles(None, 1).of(video)


def test_keypoint_options_that_cannot_be_meant_are_refused(tmp_path):
    npz, text = write_npz(tmp_path / "a.npz", POSITIONS, SCORES), tmp_path / "a.txt"
    text.write_text(json.dumps({}))
    with pytest.raises(UsageError, match="keypoints of one video, and there are 2"):
        KeypointFiles(npz, 2)
    with pytest.raises(UsageError, match="no file of keypoints"):
        KeypointFiles(text, 1)
    with pytest.raises(UsageError, match="there are no keypoints"):
        KeypointFiles(tmp_path / "absent.npz", 1)


def test_a_folder_stands_for_its_videos(tmp_path):
    for name in ("b.mp4", "b.avi", "a.MKV", "a.npz", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "drawn.mp4").mkdir()  # a folder, whatever it is called
    assert find_videos([tmp_path], CLIPS) == [tmp_path / "a.MKV", tmp_path / "b.avi", tmp_path / "b.mp4"]
    (tmp_path / "drawn.mp4" / "c.mp4").touch()
    assert find_videos([tmp_path / "drawn.mp4"], CLIPS) == [tmp_path / "drawn.mp4" / "c.mp4"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no videos"):
        find_videos([tmp_path / "empty"], CLIPS)
    with pytest.raises(UsageError, match="there is no video"):
        find_videos([tmp_path / "absent.mp4"], CLIPS)


def test_ntus_own_names_are_found(tmp_path):
    """`NAME_rgb.avi` is the video of the entry, and of the file of keypoints, NAME."""
    name = "S001C001P001R001A001"
    path = write_pickle(tmp_path / "a.pkl", entry(name, POSITIONS, SCORES))
    np.testing.assert_array_equal(PickledKeypoints.read(path).of(Path(f"{name}_rgb.avi")).positions, POSITIONS)
    write_npz(tmp_path / f"{name}.npz", POSITIONS, SCORES)
    found = KeypointFiles(None, 1).of(tmp_path / f"{name}_rgb.avi")
    np.testing.assert_array_equal(found.positions, POSITIONS)
