"""Whatever bytes a file holds, its reader gives a result or one error that names the file; nothing else, and soon."""

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from x3ddeploy.data.annotations import read_annotations
from x3ddeploy.data.arrays import read_arrays
from x3ddeploy.errors import DataError
from x3ddeploy.prediction.coco_keypoints import read_coco_keypoints
from x3ddeploy.prediction.keypoints import read_npz_keypoints
from x3ddeploy.prediction.pickled_keypoints import PickledKeypoints

SHORT = settings(
    max_examples=180,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def read(reader, path: Path, data: bytes):
    """The reader's result, or None where it refused the file by its name."""
    path.write_bytes(data)
    try:
        return reader(path)
    except DataError as error:
        refusal = error.message
    assert path.name in refusal
    return None


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=8)
arrays = st.builds(
    lambda shape, kind: np.zeros(shape, kind),
    st.lists(st.integers(0, 3), max_size=5).map(tuple),
    st.sampled_from(["f4", "f8", "f2", "u1", "i8", "U3", "?"]),
)
anything = st.recursive(
    scalars | arrays,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
names = st.sampled_from(
    ["a", "b/c", "", "../x", "/etc/passwd", "C:x", "..\\x", "a\0b", "\x1b[2J", "a\n", "\ud800", "x" * 2000]
)
good = {
    "frame_dir": "a", "label": 0, "img_shape": (4, 4), "total_frames": 2,
    "keypoint": np.ones((1, 2, 3, 2), np.float32), "keypoint_score": np.ones((1, 2, 3), np.float32),
}  # fmt: skip
entries = st.builds(
    lambda name, changes, left: {k: v for k, v in {**good, "frame_dir": name, **changes}.items() if k != left},
    names | anything,
    st.dictionaries(st.sampled_from(sorted(set(good) - {"frame_dir"})), anything, max_size=2),
    st.sampled_from(["", *good]),
)
contents = anything | st.fixed_dictionaries(
    {
        "annotations": st.lists(entries, max_size=3) | anything,
        "split": anything | st.dictionaries(st.text(max_size=3), st.lists(names | anything, max_size=3), max_size=2),
    }
)


def changed(data: bytes, changes: list[tuple[int, int]], cut: int) -> bytes:
    result = bytearray(data)
    for place, value in changes:
        result[place % len(result)] = value
    return bytes(result[: len(result) - cut % len(result)])


damage = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=6), st.integers(0, 3)


@SHORT
@given(contents, st.integers(0, 5))
@example({"split": {}, "annotations": [{**good, "img_shape": (10**30, 1)}]}, 4)
@example({"split": {}, "annotations": [{**good, "label": 10**5000}]}, 4)
@example({"split": {"a": [["b"]]}, "annotations": [good]}, 4)
def test_annotations_of_any_content(tmp_path, content, protocol):
    found = read(read_annotations, tmp_path / "a.pkl", pickle.dumps(content, protocol))
    for sample in found.samples.values() if found else ():
        assert sample.keypoints.shape[:3] == sample.scores.shape
        assert (tmp_path / "videos" / f"{sample.name}.mp4").resolve().is_relative_to(tmp_path / "videos")


@SHORT
@given(*damage, st.integers(0, 5))
def test_annotations_with_damage(tmp_path, changes, cut, protocol):
    data = pickle.dumps({"split": {"val": ["a"]}, "annotations": [good]}, protocol)
    read(read_annotations, tmp_path / "a.pkl", changed(data, changes, cut))


@SHORT
@given(entries | anything, st.integers(0, 5))
def test_pickled_keypoints_of_any_content(tmp_path, entry, protocol):
    def reader(path):
        return PickledKeypoints.read(path).of(Path("a.mp4"))

    found = read(reader, tmp_path / "a.pkl", pickle.dumps({"annotations": [entry]}, protocol))
    assert found is None or found.positions.shape[:3] == found.scores.shape


@SHORT
@given(st.dictionaries(st.sampled_from(["keypoints", "keypoint_scores", "x"]), arrays, max_size=3), *damage)
@example({"keypoints": np.zeros((1, 2, 3, 2), np.float32), "keypoint_scores": np.zeros((1, 2, 3), np.float32)}, [], 0)
def test_npz_of_any_arrays_and_with_damage(tmp_path, content, changes, cut):
    file = io.BytesIO()
    np.savez_compressed(file, **content)
    for reader in (read_npz_keypoints, lambda path: read_arrays(path, 1 << 16)):
        read(reader, tmp_path / "a.npz", changed(file.getvalue(), changes, cut))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
ids = st.integers(-2, 3) | json_values
images = st.fixed_dictionaries({}, optional=dict.fromkeys(["id", "frame_index", "height", "width"], ids))
people = st.fixed_dictionaries(
    {"image_id": ids}, optional={"keypoints": json_values | st.lists(st.floats(width=64), min_size=3, max_size=6)}
)


@SHORT
@given(json_values | st.fixed_dictionaries({"images": st.lists(images), "annotations": st.lists(people)}))
@example({"images": [{"id": 1}], "annotations": [{"image_id": 1, "keypoints": [1e300, 1, 1]}]})
@example({"images": [{"id": 1}, {"id": "1"}], "annotations": [{"image_id": 1, "keypoints": [1, 1, 1]}]})
@example({"images": [{"id": 1, "frame_index": -1}], "annotations": [{"image_id": 1, "keypoints": [1, 1, 1]}]})
@example(
    {"images": [{"id": 1, "height": 10**12, "width": 1}], "annotations": [{"image_id": 1, "keypoints": [1, 1, 1]}]}
)
def test_coco_json_of_any_content(tmp_path, content):
    found = read(read_coco_keypoints, tmp_path / "a.json", json.dumps(content).encode("utf8", "replace"))
    assert found is None or found.positions.shape[:3] == found.scores.shape


def tuples_of_tuples(depth):
    """A key whose hash takes 2 ** depth steps, in a few bytes."""
    return b")" + b"2\x86" * depth


def array_pickle(shape):
    return pickle.dumps({"split": {}, "annotations": [{**good, "keypoint": np.zeros(shape, np.float32)}]}, 4)


BOMBS = {
    "a hash without end": b"\x80\x04}" + tuples_of_tuples(60) + b"K\x01s.",
    "a set of it": b"\x80\x04\x8f(" + tuples_of_tuples(60) + b"\x90.",
    "a frozenset of it": b"\x80\x04(" + tuples_of_tuples(60) + b"\x91.",
    "a set called": b"\x80\x04cbuiltins\nset\n(l" + tuples_of_tuples(60) + b"a\x85R.",
    "a name without end": b"\x80\x04}X\x05\0\0\0split}sX\x0b\0\0\0annotations]}X\x09\0\0\0frame_dir"
    + tuples_of_tuples(60) + b"sas.",
    "a memo of 2 thousand million": b"\x80\x04Nr\xff\xff\xff\x7f.",
    "bytes of 2 ** 60": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"x.",
    "a frame of 2 ** 60": b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"N.",
    "lists in lists": b"\x80\x04" + b"]" * 200_000 + b"a" * 199_999 + b".",
    "a shape without end": b"\x80\x04cnumpy.core.numeric\n_frombuffer\n(C\x01ccnumpy\ndtype\nX\x02\0\0\0u1\x85R("
    + b"\x8b\xff\0\0\0" .replace(b"\xff\0\0\0", struct.pack("<i", 100) + b"\x7f" * 100) * 2000 + b"tX\x01\0\0\0CtR.",
    "a copy of a copy": b"\x80\x04B" + struct.pack("<i", 1 << 20) + b"x" * (1 << 20) + b"0"
    + b"X" + struct.pack("<i", 1 << 20) + b"x" * (1 << 20) + b"\x94" + b"(c_codecs\nencode\nh\0\x85R" * 200 + b".",
}  # fmt: skip


@pytest.mark.parametrize("case", BOMBS)
def test_a_small_pickle_that_asks_for_much_gets_little(tmp_path, case):
    for reader in (read_annotations, lambda path: PickledKeypoints.read(path).of(Path("a"))):
        assert read(reader, tmp_path / "a.pkl", BOMBS[case]) is None


def npz(path, *members, kind=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def npy(shape, size, descr="'<f4'"):
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(size)


FORGED = {
    "a shape that is not held": [("keypoints.npy", npy("(1000000, 1000000, 17, 2)", 100))],
    "a shape of less than nothing": [("keypoints.npy", npy("(-1, 1)", 4))],
    "objects": [("keypoints.npy", npy("(1,)", 8, "'|O'"))],
    "fields": [("keypoints.npy", npy("(1,)", 8, "[('a', '<f8')]"))],
    "a bomb": [("keypoints.npy", npy("(16, 1048576)", 64 << 20))],
    "many arrays": [(f"a{number}.npy", npy("(16, 65536)", 4 << 20)) for number in range(20)],
    "the same twice": [("a.npy", npy("(1,)", 4)), ("a.npy", npy("(1,)", 4))],
    "no header": [("keypoints.npy", b"")],
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", FORGED)
def test_a_forged_npz_is_refused_before_memory_is_taken(tmp_path, case):
    path = npz(tmp_path / "a.npz", *FORGED[case])
    with pytest.raises(DataError, match=r"a\.npz cannot be read as arrays"):
        read_arrays(path, 32 << 20)


def test_an_array_of_just_the_limit_is_read(tmp_path):
    data = npy("(16, 1048576)", 64 << 20)
    path = npz(tmp_path / "a.npz", ("a.npy", data))
    assert read_arrays(path, len(data))["a"].nbytes == 64 << 20
    with pytest.raises(DataError, match="more than"):
        read_arrays(path, len(data) - 1)
