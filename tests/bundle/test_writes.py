"""No verb writes past the functions that the crash tests kill.

Of verbs that run in this process, whichever test runs them, that is asked each time (support/command.py).
"""

import importlib.util
import os
import shutil

import pytest
from support.forked_children import AS_USERS_DO
from support.written import WRITING, past, written_below

from x3ddeploy import child_process
from x3ddeploy.atomic import write_bytes

# What a child of the command opens for writing, as lines of a file: Python runs this before anything else.
OF_A_CHILD = f"""
import os, sys
LOG = os.open(os.environ["OPENED"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def note(event, arguments):
    if event == "open" and not isinstance(arguments[0], int) and arguments[2] & {WRITING}:
        os.write(LOG, os.fsencode(arguments[0]) + bytes([10]))

sys.addaudithook(note)
"""


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is not installed")
def test_every_write_of_an_engine_goes_to_a_temporary_name(run, bundle, tmp_path, monkeypatch):
    shutil.copytree(bundle, tmp_path / "deploy", copy_function=os.link)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(OF_A_CHILD)
    monkeypatch.setenv("OPENED", str(tmp_path / "opened.partial"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setattr(child_process, "_start", AS_USERS_DO)  # which reads sitecustomize
    process = run("build-trt", tmp_path / "deploy", "--rtx", "--compute-capability", "8.9", "--parts", "head")
    assert process.returncode == 0, process.stderr
    paths = (tmp_path / "opened.partial").read_text().splitlines()
    assert paths
    assert past(path for path in paths if path.startswith(str(tmp_path))) == []
    assert list((tmp_path / "deploy" / "engines").rglob("*.plan"))


def test_a_write_past_them_is_seen(tmp_path):
    with written_below(tmp_path) as paths:
        write_bytes(tmp_path / "good", b"x")
        (tmp_path / "bad").write_bytes(b"x")
    assert len(paths) > 1
    assert past(paths) == [str(tmp_path / "bad")]


def test_the_test_of_a_verb_that_writes_past_them_fails(run, bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("x3ddeploy.embedding.pack.write_bytes", lambda path, data: path.write_bytes(data))
    with pytest.raises(AssertionError, match=r"deploy\.tar"):
        run("bundle", bundle, "--pack", tmp_path / "deploy.tar")
