"""Annotation files: what MMAction2 reads is read, nothing in them runs, and what is wrong is told sample by sample."""

import os
import pickle

import numpy as np
import pytest
from support.action_data import annotation, write_annotations

from x3ddeploy.data.annotations import read_annotations, read_labels, read_video_list
from x3ddeploy.errors import DataError, UsageError


def changed(entry, **values):
    return {key: value for key, value in {**entry, **values}.items() if value is not None}


@pytest.fixture
def entries():
    return [annotation(name, label, seed=label) for label, name in enumerate(("c", "a", "b"))]


def test_samples_are_those_of_the_file_in_its_order(tmp_path, entries):
    path = write_annotations(tmp_path / "a.pkl", entries, {"train": ["a", "c"], "val": ["b"]})
    annotations = read_annotations(path)
    assert annotations.splits == {"train": ("a", "c"), "val": ("b",)}
    assert [sample.name for sample in annotations.split("train")] == ["c", "a"]  # PoseDataset's order
    sample = annotations.samples["a"]
    assert (sample.label, sample.image_size, sample.frames) == (1, (96, 128), 40)
    np.testing.assert_array_equal(sample.keypoints, entries[1]["keypoint"])
    np.testing.assert_array_equal(sample.scores, entries[1]["keypoint_score"])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_that_were_read_can_be_pickled_again(tmp_path, protocol, entries):
    """MMEngine's data sets do so with every sample; its workers read them anew."""
    sample = read_annotations(write_annotations(tmp_path / "a.pkl", entries, {})).samples["a"]
    again = pickle.loads(pickle.dumps(sample.keypoints, protocol))
    assert type(again) is np.ndarray
    np.testing.assert_array_equal(again, sample.keypoints)
    assert again.dtype == sample.keypoints.dtype


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_pickle_protocol_gives_the_same_arrays(tmp_path, protocol):
    entry = annotation("x")
    entry["keypoint"] = np.asfortranarray(entry["keypoint"])
    entry["keypoint_score"] = entry["keypoint_score"].astype(">f4")
    entry["label"], entry["total_frames"] = np.int64(3), np.uint16(40)
    content = {"split": {"all": np.array(["x"])}, "annotations": [entry]}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
    (sample,) = read_annotations(tmp_path / "a.pkl").split("all")
    assert (sample.label, sample.frames) == (3, 40)
    np.testing.assert_array_equal(sample.keypoints, entry["keypoint"])
    np.testing.assert_array_equal(sample.scores, entry["keypoint_score"])


@pytest.mark.parametrize("numpy_module", ["core", "_core"])
def test_files_of_numpy_1_and_2_are_read(tmp_path, entries, numpy_module):
    path = write_annotations(tmp_path / "a.pkl", entries, {})
    text = path.read_bytes()
    written = b"_core" if b"numpy._core" in text else b"core"
    old, new = (b"numpy." + name + b".multiarray" for name in (written, numpy_module.encode()))
    text = text.replace(b"\x8c" + bytes([len(old)]) + old, b"\x8c" + bytes([len(new)]) + new)
    (tmp_path / "b.pkl").write_bytes(b"\x80\x04" + text[11:])  # without the frame's length, which has changed
    assert len(read_annotations(tmp_path / "b.pkl").samples) == 3


def test_missing_scores_are_ones(tmp_path, entries):
    path = write_annotations(tmp_path / "a.pkl", [changed(entries[0], keypoint_score=None)], {})
    (sample,) = read_annotations(path).samples.values()
    assert sample.scores.shape == (2, 40, 17)
    assert (sample.scores == 1).all()


class Runs:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_in_a_pickle_is_named_and_not_run(tmp_path, protocol):
    trace = tmp_path / "trace"
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"split": Runs(os.mkdir, str(trace))}, protocol))
    with pytest.raises(DataError, match=r"posix\.mkdir|nt\.mkdir"):
        read_annotations(tmp_path / "a.pkl")
    assert not trace.exists()


@pytest.mark.parametrize(
    "value",
    [
        np.array([{}], object),
        np.zeros(2, [("field", "O")]),
        Runs(np.ndarray, (10**9,), np.dtype("O")),
        Runs(np.frombuffer, b"1234"),
        Runs(getattr, np.ones(1), "tofile"),
    ],
    ids=["objects", "structure", "ndarray", "frombuffer", "getattr"],
)
def test_arrays_of_anything_but_numbers_are_refused(tmp_path, value):
    for protocol in (2, 5):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps({"split": {}, "annotations": [{"keypoint": value}]}, protocol))
        with pytest.raises(DataError):
            read_annotations(tmp_path / "a.pkl")


def test_an_array_that_claims_more_than_it_holds_is_refused(tmp_path, entries):
    path = write_annotations(tmp_path / "a.pkl", entries, {})
    text = path.read_bytes()
    shape = b"(K\x02K(K\x11K\x02t"  # (2, 40, 17, 2)
    assert shape in text
    path.write_bytes(text.replace(shape, b"(K\xffK(K\x11K\x02t", 1))
    with pytest.raises(DataError, match="bytes that should be"):
        read_annotations(path)


def test_a_damaged_an_absent_and_another_file_are_told(tmp_path, entries):
    path = write_annotations(tmp_path / "a.pkl", entries, {})
    (tmp_path / "cut.pkl").write_bytes(path.read_bytes()[:-500])
    (tmp_path / "other.pkl").write_bytes(pickle.dumps([1, 2]))
    for name, text in (("cut", "cannot be read"), ("absent", "No such file"), ("other", "holds no annotations")):
        with pytest.raises(DataError, match=text):
            read_annotations(tmp_path / f"{name}.pkl")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": None}, "without label"),
        ({"label": 1.5}, "not a whole number"),
        ({"label": -1}, "label -1"),
        ({"total_frames": 39}, "39 frames"),
        ({"keypoint": np.zeros((2, 40, 17, 3), np.float32)}, "is not"),
        ({"keypoint_score": np.zeros((2, 40, 16), np.float32)}, "do not agree"),
        ({"img_shape": (96,)}, "height, width"),
        ({"frame_dir": "../../etc/passwd"}, "leads out"),
        ({"frame_dir": "/etc/passwd"}, "leads out"),
        ({"frame_dir": "a"}, "occurs twice"),
    ],
)
def test_what_is_wrong_with_a_sample_is_told_by_its_name(tmp_path, entries, change, said):
    entries[2] = changed(entries[2], **{"label": 0, **change})
    with pytest.raises(DataError, match="1 of 3") as caught:
        read_annotations(write_annotations(tmp_path / "a.pkl", entries, {}))
    (line,) = caught.value.details
    assert said in line
    assert line.startswith(entries[2]["frame_dir"])


def test_several_classes_a_video_are_refused_as_such(tmp_path, entries):
    path = write_annotations(tmp_path / "several.pkl", [changed(entries[0], label=[0, 1])], {"val": ["c"]})
    for read in (read_annotations, read_labels):
        with pytest.raises(DataError, match="several classes a video"):
            read(path)
    (tmp_path / "list.txt").write_text("clips/a.mp4 1\nclips/b.mp4 1 3\n")
    with pytest.raises(DataError, match="line 2: several classes a video"):
        read_video_list(tmp_path / "list.txt")
    (tmp_path / "pictures.txt").write_text("clips/a 120 3\nclips/b 0 120 3\n")
    with pytest.raises(DataError, match="2 of 2") as caught:
        read_video_list(tmp_path / "pictures.txt")
    assert all("RawframeDataset" in line for line in caught.value.details)


def test_an_unknown_split_lists_those_there_are(tmp_path, entries):
    annotations = read_annotations(write_annotations(tmp_path / "a.pkl", entries, {"xsub_train": [], "xsub_val": []}))
    with pytest.raises(UsageError, match=r"'test'[\s\S]*xsub_train, xsub_val"):
        annotations.split("test")


def test_names_without_annotation_are_listed_at_once(tmp_path, entries):
    annotations = read_annotations(write_annotations(tmp_path / "a.pkl", entries, {"val": ["a", "lost", "gone"]}))
    with pytest.raises(DataError) as caught:
        annotations.split("val")
    assert caught.value.details == ("gone", "lost")
