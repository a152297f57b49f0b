"""A result that has no place is refused before the work."""

import os
import shutil

import pytest

from x3ddeploy.errors import X3DDeployError
from x3ddeploy.places import require_place


def test_a_place_that_is_not_there_yet_is_asked_of_the_one_above_it(tmp_path):
    require_place(tmp_path / "a" / "b", 1000)
    assert list(tmp_path.iterdir()) == []


def test_too_little_room_is_said_with_what_is_needed(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(X3DDeployError, match=r"MB are needed, and \d+ MB are free") as error:
        require_place(tmp_path, free + (1 << 50))
    assert "free some space" in error.value.hint


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(X3DDeployError, match="Not a directory"):
        require_place(tmp_path / "file", 0)


@pytest.mark.skipif(os.geteuid() == 0, reason="everything is writable for root")
def test_a_directory_that_is_not_writable_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(X3DDeployError, match="no permission"):
        require_place(tmp_path / "a", 0)


def test_every_verb_asks_before_it_works(bundle, checkpoint, run, monkeypatch):
    """With a disk that is nearly full, nothing is computed: no step is reported."""
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))
    for words in (
        ("export", checkpoint, "-o", bundle.parent / "other"),
        ("quantize", bundle, "--fp16"),
        ("bundle", bundle, "--pack", bundle.parent / "other.tar"),
        ("bench", bundle, "-o", bundle.parent / "reports"),
        ("eval", bundle, "--data", bundle.parent),
    ):
        process = run(*words)
        assert process.returncode == 1, words
        assert "MB are needed" in process.stderr, words
        assert "lowered" not in process.stderr
