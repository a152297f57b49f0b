"""Arrays in NumPy's format are read as numpy reads them, and by several threads at a time."""

import ast
import io

import numpy as np
import pytest

from x3ddeploy.bundle.golden import read_array
from x3ddeploy.data.arrays import read_arrays
from x3ddeploy.npy import read_npy

ARRAYS = {
    "floats": np.arange(12, dtype=np.float32).reshape(3, 4),
    "columns first": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
    "big-endian": np.arange(5, dtype=">i2"),
    "half": np.array([0.5, np.inf], np.float16),
    "a number": np.array(3, np.int64),
    "booleans": np.array([[True], [False]]),
    "a word": np.array("né"),
    "words": np.array(["a", "", "word"]),
    "nothing": np.zeros((2, 0, 3), np.uint8),
    "more than a piece": np.random.default_rng(0).integers(0, 256, (300_001,), np.uint8),
}
HEADERS = {  # of two floats of four bytes
    "as numpy writes it": "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }",
    "in another order, with other quotes": '{"shape":(2,),"fortran_order":False,"descr":"<f4"}',
    "by Python 2": "{'descr': '<f4', 'fortran_order': False, 'shape': (2L,), }",
}
REFUSED = {
    "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
    "fields": "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }",
    "times": "{'descr': '<M8[s]', 'fortran_order': False, 'shape': (1,), }",
    "a type that is none": "{'descr': '<f3', 'fortran_order': False, 'shape': (2,), }",
    "no shape": "{'descr': '<f4', 'fortran_order': False}",
    "a negative size": "{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -1), }",
    "more than it holds": "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }",
    "less than it holds": "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }",
    "more dimensions than arrays have": "{'descr': '<f4', 'fortran_order': False, 'shape': (2," + "1," * 80 + "), }",
    "a size beyond any": "{'descr': '<f4', 'fortran_order': False, 'shape': (0, " + "9" * 30 + "), }",
    "code": "__import__('os')",
    "a long one": "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }" + " " * 10_000,
}


def npy(header, version=1):
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + header.encode() + np.array([1, 2], np.float32).tobytes()


def read(data):
    return read_npy(io.BytesIO(data), len(data))


def no_parser(*arguments, **options):
    raise SystemError("AST constructor recursion depth mismatch")  # what CPython 3.11 says, by chance


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_read_as_they_were_written_without_pythons_parser(tmp_path, monkeypatch, name):
    np.savez_compressed(tmp_path / "a.npz", x=ARRAYS[name])
    np.save(tmp_path / "a.npy", ARRAYS[name])
    monkeypatch.setattr(ast, "parse", no_parser)
    monkeypatch.setattr(ast, "literal_eval", no_parser)
    for array in (read_arrays(tmp_path / "a.npz", 1 << 20)["x"], read_array(tmp_path / "a.npy")):
        assert (array.dtype, array.shape, array.tolist()) == (
            ARRAYS[name].dtype, ARRAYS[name].shape, ARRAYS[name].tolist())  # fmt: skip
        assert array.flags.writeable
        assert array.flags.f_contiguous == ARRAYS[name].flags.f_contiguous


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("name", HEADERS)
def test_headers_of_other_writers_are_read(name, version):
    assert read(npy(HEADERS[name], version)).tolist() == [1, 2]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_array_of_numbers_is_refused(name):
    with pytest.raises(ValueError, match=r"\w"):
        read(npy(REFUSED[name]))


def test_a_cut_anywhere_is_refused():
    data = npy(HEADERS["as numpy writes it"])
    for size in range(len(data)):
        with pytest.raises(ValueError, match=r"\w"):
            read(data[:size])
        with pytest.raises(ValueError, match=r"\w"):  # a file that shrinks while it is read
            read_npy(io.BytesIO(data[:size]), len(data))


def test_another_version_is_refused():
    with pytest.raises(ValueError, match=r"version \(4, 0\)"):
        read(npy(HEADERS["as numpy writes it"], 4))
