"""Writing: a file or a directory is the old one or the new one."""

import os

import pytest

from x3ddeploy.atomic import staged_directory, write_bytes, write_json
from x3ddeploy.errors import X3DDeployError


def test_a_file_is_replaced_whole_and_keeps_ordinary_permissions(tmp_path):
    path = tmp_path / "f"
    write_bytes(path, b"old")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "f"
    write_bytes(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(X3DDeployError, match="No space left on device") as error:
        write_bytes(path, b"new")
    assert "free some space" in str(error.value)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


def test_json_refuses_what_is_not_json(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "f", {"x": float("nan")})
    assert not (tmp_path / "f").exists()


def test_a_directory_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "d"
    with pytest.raises(RuntimeError, match="halfway"), staged_directory(target) as staging:
        (staging / "a").write_text("half")
        raise RuntimeError("halfway")
    assert list(tmp_path.iterdir()) == []
    with staged_directory(target) as staging:
        (staging / "a").write_text("one")
        assert not target.exists()
    with pytest.raises(RuntimeError), staged_directory(target) as staging:
        (staging / "a").write_text("two")
        raise RuntimeError
    assert (target / "a").read_text() == "one"
    with staged_directory(target) as staging:
        (staging / "b").write_text("three")
    assert [entry.name for entry in target.iterdir()] == ["b"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["d"]


def test_leftovers_of_dead_processes_are_swept_and_those_of_living_ones_stay(tmp_path):
    dead = tmp_path / ".d.x.partial"
    dead.mkdir()
    with staged_directory(tmp_path / "d") as alive:
        (alive / "a").write_text("one")
        with staged_directory(tmp_path / "d") as other:
            (other / "a").write_text("other")
        assert not dead.exists()
        assert alive.exists()
    assert (tmp_path / "d" / "a").read_text() == "one"
    (tmp_path / ".f.x.partial").touch()
    write_bytes(tmp_path / "f", b"x")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["d", "f"]


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
