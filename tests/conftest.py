"""A tiny checkpoint and its bundle, made once a session, and the optional folder of real-layout fixtures."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from x3ddeploy.demo import checkpoint_dict, random_network
from x3ddeploy.models.presets import PRESETS

torch.set_num_threads(1)  # tests run side by side, and the networks are tiny
ROOT = Path(__file__).parent.parent
FIXTURES = Path(os.environ.get("X3DDEPLOY_FIXTURES", ROOT.parent / "shared" / "fixtures"))


def x3ddeploy(*arguments, cwd=None, env=None, timeout=300):
    """Run the command as a user does; gives the finished process with its output as text."""
    return subprocess.run(
        [sys.executable, "-m", "x3ddeploy", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture(scope="session")
def run():
    return x3ddeploy


@pytest.fixture(scope="session")
def tiny_network():
    return random_network(PRESETS["tiny"], seed=1)


@pytest.fixture(scope="session")
def checkpoint(tiny_network, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.pth"
    torch.save(checkpoint_dict(tiny_network), path)
    return path


@pytest.fixture(scope="session")
def exported(checkpoint, tmp_path_factory):
    """The finished process of `x3ddeploy export`, and the bundle that it wrote. Tests must not change it."""
    path = tmp_path_factory.mktemp("bundle") / "deploy"
    return x3ddeploy("export", checkpoint, "-o", path, "--preprocess"), path


@pytest.fixture(scope="session")
def bundle(exported):
    process, path = exported
    assert process.returncode == 0, process.stderr
    return path


@pytest.fixture(scope="session")
def real_layout():
    """A checkpoint in the original layout with golden outputs, where the folder is there."""
    folder = FIXTURES / "pcan_ntu60_x3d"
    if not (folder / "checkpoint.pth").is_file():
        pytest.skip("no folder of fixtures (X3DDEPLOY_FIXTURES)")
    return folder


def pytest_collection_modifyitems(items):
    if importlib.util.find_spec("openvino") is None:
        for item in items:
            if "openvino" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="OpenVINO is not installed"))
