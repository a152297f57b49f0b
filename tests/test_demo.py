"""`python -m x3ddeploy.demo`: a checkpoint to try the tools with, and no other file lost for it."""

import pytest
from click.testing import CliRunner

from x3ddeploy.data.synth.actions import ACTIONS
from x3ddeploy.demo import main
from x3ddeploy.errors import UsageError
from x3ddeploy.loading import load_network

ARGUMENTS = ["--preset", "tiny"]


def write(path, *more):
    return CliRunner().invoke(main, [str(path), *ARGUMENTS, *more], catch_exceptions=False)


def test_a_demo_is_replaced_and_another_file_only_when_asked(tmp_path):
    path = tmp_path / "demo.pth"
    assert write(path).exit_code == 0
    assert write(path, "--seed", "1").exit_code == 0
    for mine in (b"my thesis", path.read_bytes().replace(b"x3ddeploy_demo", b"somebody_else_")):
        path.write_bytes(mine)
        with pytest.raises(UsageError, match="--overwrite"):
            write(path)
        assert path.read_bytes() == mine
    assert write(path, "--overwrite").exit_code == 0


def test_the_tiny_network_has_the_classes_of_the_synthetic_set(tmp_path):
    assert write(tmp_path / "tiny.pth").exit_code == 0
    loaded = load_network(tmp_path / "tiny.pth")
    assert loaded.labels == tuple(action.name for action in ACTIONS)
    assert loaded.network.contract().classes == len(ACTIONS)
