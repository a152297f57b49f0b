"""No verb writes into a bundle past the functions that the crash test kills."""

import os
import shutil
import sys

import pytest

from x3ddeploy.atomic import write_bytes

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
opened = []
sys.addaudithook(lambda event, arguments: opened.append(arguments) if event == "open" else None)


def written_past(folder, work):
    """Files below a folder that were opened for writing under the name that a reader would open."""
    opened.clear()
    result = work()
    paths = [os.fsdecode(path) for path, _, flags in opened if not isinstance(path, int) and flags & WRITING]
    inside = [path for path in paths if path.startswith(str(folder))]
    assert inside  # it did write
    assert result is None or result.returncode == 0, result.stderr
    return [path for path in inside if ".partial" not in path]


@pytest.mark.parametrize(
    "verb",
    [
        ("export", "{checkpoint}", "-o", "{folder}/deploy", "--overwrite", "--preprocess"),
        ("quantize", "{folder}/deploy", "--fp16"),
        ("bundle", "{folder}/deploy", "--pack", "{folder}/deploy.tar"),
        ("triton", "{folder}/deploy", "-o", "{folder}/models"),
    ],
    ids=lambda verb: verb[0],
)
def test_every_write_goes_to_a_temporary_name(run, bundle, checkpoint, tmp_path, verb):
    shutil.copytree(bundle, tmp_path / "deploy", copy_function=os.link)
    words = [word.format(folder=tmp_path, checkpoint=checkpoint) for word in verb]
    assert written_past(tmp_path, lambda: run(*words)) == []


def test_a_write_past_them_is_seen(tmp_path):
    assert written_past(tmp_path, lambda: write_bytes(tmp_path / "good", b"x")) == []
    (path,) = written_past(tmp_path, lambda: (tmp_path / "bad").write_bytes(b"x") and None)
    assert path == str(tmp_path / "bad")
