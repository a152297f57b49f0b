"""A tiny checkpoint and its bundle, made once a test run, and the optional folder of real-layout fixtures.

A plugin of pytest's for the processes that run tests (tests/conftest.py).
"""

import gc
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side, and the networks are tiny
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait leave their core to others
# torch.export remembers what each operator gives, which pays where a network repeats itself; a tiny one does not.
os.environ.setdefault("TORCH_FAKE_TENSOR_DISPATCH_CACHE", "0")

import torch

from support import command, quantizing
from support.drawn_once import drawn_once
from support.forked_children import forked_children
from support.opened_once import opened_once
from support.referenced_once import referenced_once
from support.shared import once, root_of
from support.traced_once import traced_once
from x3ddeploy.families.two_stream_x3d.demo import checkpoint_dict
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.randomized import random_network

torch.set_num_threads(1)
ROOT = Path(__file__).parents[2]
FIXTURES = Path(os.environ.get("X3DDEPLOY_FIXTURES", ROOT.parent / "shared" / "fixtures"))


@pytest.fixture(scope="session")
def run():
    """Function: the command run in this process (support/command.py)."""
    return command.run


@pytest.fixture(scope="session")
def spawn():
    """Function: the command run in a process of its own, for tests of what only a process has."""
    return command.spawn


@pytest.fixture(scope="session", autouse=True)
def writes(tmp_path_factory):
    """A verb that writes a file of the tests in place fails its test (support/written.py)."""
    command.FILES_OF_TESTS[:] = [root_of(tmp_path_factory)]


@pytest.fixture(scope="session", autouse=True)
def children():
    """What `run_in_child` starts is a copy of this process as it is now (support/forked_children.py)."""
    with forked_children():
        yield


@pytest.fixture(scope="session", autouse=True)
def brief_quantize():
    """In this process `quantize` does what its gates need, but for tests that ask for more (support/quantizing.py)."""
    with quantizing.briefly():
        yield


@pytest.fixture(scope="session", autouse=True)
def traced_modules():
    """In this process a module is traced once, and what shapes it gives found out once (support/traced_once.py)."""
    with traced_once():
        yield


@pytest.fixture(scope="session", autouse=True)
def opened_graphs():
    """In this process a graph is loaded into a runtime once (support/opened_once.py)."""
    with opened_once():
        yield


@pytest.fixture(scope="session", autouse=True)
def engines_references():
    """In this process the reference of an engine's gate is computed once (support/referenced_once.py)."""
    with referenced_once():
        yield


@pytest.fixture(scope="session", autouse=True)
def drawn_pictures():
    """In this process one confusion matrix stands for others of as many classes (support/drawn_once.py)."""
    with drawn_once():
        yield


@pytest.fixture(scope="session", autouse=True)
def fast_disk():
    """Nobody pulls the plug: what is synced need not wait for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def small_ceilings():
    """In this process `bench` measures the machine's ceilings on less, which takes no seconds, three times a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("x3ddeploy.benchmarking.ceilings._MATRIX", 128)
        patch.setattr("x3ddeploy.benchmarking.ceilings._COPIED_BYTES", 1 << 20)
        yield


@pytest.fixture(scope="session")
def tiny_network():
    return random_network(PRESETS["tiny"], seed=1)


@pytest.fixture(scope="session")
def checkpoint(tiny_network, tmp_path_factory):
    def make(folder):
        torch.save(checkpoint_dict(tiny_network), folder / "tiny.pth")

    return once(tmp_path_factory, "checkpoint", make)[0] / "tiny.pth"


@pytest.fixture(scope="session")
def exported(checkpoint, tmp_path_factory):
    """The finished run of `x3ddeploy export`, and the bundle that it wrote. Tests must not change it."""

    def make(folder):
        return vars(command.run("export", checkpoint, "-o", folder / "deploy", "--preprocess"))

    folder, finished = once(tmp_path_factory, "exported", make)
    return subprocess.CompletedProcess(**finished), folder / "deploy"


@pytest.fixture(scope="session")
def exported_apart(checkpoint, tmp_path_factory):
    """The same by a process of its own, in another environment; the bundle must be the same."""

    def make(folder):
        other = {"PYTHONHASHSEED": "7", "LC_ALL": "C", "TORCH_FAKE_TENSOR_DISPATCH_CACHE": "1"}
        return vars(command.spawn("export", checkpoint, "-o", folder / "deploy", "--preprocess", "--json", env=other))

    folder, finished = once(tmp_path_factory, "exported_apart", make)
    return subprocess.CompletedProcess(**finished), folder / "deploy"


@pytest.fixture(scope="session")
def diagnosed(tmp_path_factory):
    """The finished process of `x3ddeploy doctor --json`."""
    finished = once(tmp_path_factory, "diagnosed", lambda folder: vars(command.spawn("doctor", "--json")))[1]
    return subprocess.CompletedProcess(**finished)


@pytest.fixture(scope="session")
def bundle(exported):
    process, path = exported
    assert process.returncode == 0, process.stderr
    return path


@pytest.fixture(scope="session")
def quantized(bundle, tmp_path_factory):
    """The bundle with graphs of lower precision. Tests must not change it."""

    def make(folder):
        shutil.copytree(bundle, folder / "deploy")
        words = ("quantize", folder / "deploy", "--fp16", "--int8", "--calib-random", "--calib-clips", 2)
        process = command.run(*words)
        assert process.returncode == 0, process.stderr

    return once(tmp_path_factory, "quantized", make)[0] / "deploy"


@pytest.fixture(scope="session")
def real_layout():
    """A checkpoint in the original layout with golden outputs, where the folder is there."""
    folder = FIXTURES / "pcan_ntu60_x3d"
    if not (folder / "checkpoint.pth").is_file():
        pytest.skip("no folder of fixtures (X3DDEPLOY_FIXTURES)")
    return folder


def pytest_collection_finish(session):
    """What was imported stays: Python need not look for garbage in it, nor as often as a small program needs it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_collection_modifyitems(items):
    if importlib.util.find_spec("openvino") is None:
        for item in items:
            if "openvino" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="OpenVINO is not installed"))
