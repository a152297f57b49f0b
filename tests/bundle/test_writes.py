"""No verb writes into a bundle past the functions that the crash test kills."""

import functools
import importlib.util
import os
import shutil
import sys
from typing import Any

import pytest
from support.forked_children import AS_USERS_DO

from x3ddeploy import child_process
from x3ddeploy.atomic import write_bytes

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
opened: list[tuple[Any, ...]] = []  # what the hook is given


@functools.cache  # a hook stays for the life of the process
def listen():
    sys.addaudithook(lambda event, arguments: opened.append(arguments) if event == "open" else None)


# What a child of the command opens for writing, as lines of a file: Python runs this before anything else.
OF_A_CHILD = f"""
import os, sys
LOG = os.open(os.environ["OPENED"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def note(event, arguments):
    if event == "open" and not isinstance(arguments[0], int) and arguments[2] & {WRITING}:
        os.write(LOG, os.fsencode(arguments[0]) + bytes([10]))

sys.addaudithook(note)
"""


def written_past(folder, work, by_children=None):
    """Files below a folder that were opened for writing under the name that a reader would open."""
    listen()
    opened.clear()
    result = work()
    paths = [os.fsdecode(path) for path, _, flags in opened if not isinstance(path, int) and flags & WRITING]
    if by_children is not None:
        paths += by_children.read_text().splitlines()
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


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is not installed")
def test_every_write_of_an_engine_goes_to_a_temporary_name(run, bundle, tmp_path, monkeypatch):
    shutil.copytree(bundle, tmp_path / "deploy", copy_function=os.link)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(OF_A_CHILD)
    monkeypatch.setenv("OPENED", str(tmp_path / "opened.partial"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setattr(child_process, "_start", AS_USERS_DO)  # which reads sitecustomize
    words = ("build-trt", tmp_path / "deploy", "--rtx", "--compute-capability", "8.9", "--parts", "head")
    assert written_past(tmp_path, lambda: run(*words), tmp_path / "opened.partial") == []
    assert list((tmp_path / "deploy" / "engines").rglob("*.plan"))


def test_a_write_past_them_is_seen(tmp_path):
    assert written_past(tmp_path, lambda: write_bytes(tmp_path / "good", b"x")) == []
    (path,) = written_past(tmp_path, lambda: (tmp_path / "bad").write_bytes(b"x") and None)
    assert path == str(tmp_path / "bad")
