"""Files that others wrote: what would block, never end or fill the memory is refused before it is read."""

import json
import os
from pathlib import Path

import pytest

from x3ddeploy.files import decode_json, read_file, read_json, read_text, regular_size


def test_a_file_is_read_whole_up_to_the_limit(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_file(path, 5) == b"12345"
    assert regular_size(path, 5) == 5
    for reader in (read_file, regular_size):
        with pytest.raises(OSError, match="larger than"):
            reader(path, 4)


def test_a_pipe_does_not_block_and_a_device_does_not_fill_the_memory(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe", tmp_path / "link", Path("/dev/zero")):
        with pytest.raises(OSError, match="a pipe, a device or a socket"):
            read_file(path, 10)
        with pytest.raises(OSError, match="a pipe, a device or a socket"):
            regular_size(path)
    with pytest.raises(IsADirectoryError, match="it is a directory"):
        read_file(tmp_path, 10)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system has no /proc")
def test_a_file_that_does_not_tell_its_size_is_bounded_too():
    with pytest.raises(OSError, match="larger than"):
        read_file(Path("/proc/self/maps"), 10)


@pytest.mark.parametrize("text", ["", "{", "NaN", "[Infinity]", "1e400", "[" * 100_000, '{"a": ' * 100_000, "\xff"])
def test_broken_json_is_a_value_error(text):
    with pytest.raises(ValueError, match=r".+"):
        decode_json(text.encode("latin-1"), object)


def test_json_of_another_type_says_where(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"a": [1, "2"]}))
    with pytest.raises(ValueError, match=r"\$\[\.\.\.\]\[1\]"):
        read_json(path, dict[str, list[int]])


def test_text_comes_without_its_byte_order_mark(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"\xef\xbb\xbfa")
    assert read_text(path) == "a"
