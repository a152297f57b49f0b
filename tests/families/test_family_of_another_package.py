"""A family that another installed package brings, by an entry point, is known without a word of ours."""

import sys

import pytest
import torch
from support.toy import toy

from x3ddeploy.errors import BundleError, CheckpointError, X3DDeployError
from x3ddeploy.families import GROUP, family_named, known_families
from x3ddeploy.loading import load_network


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Function: a fake distribution on the path, with a module and its entry points."""

    def install(code, entries):
        (tmp_path / "plugged_family.py").write_text(code)
        folder = tmp_path / "plugged-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[{GROUP}]\n{entries}\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    yield install
    sys.modules.pop("plugged_family", None)


def test_its_checkpoints_are_recognized(install, tmp_path):
    install("from support.toy import ToyFamily\nTOY = ToyFamily()\n", "toy = plugged_family:TOY")
    torch.save(toy(7).state_dict(), tmp_path / "toy.pth")
    assert load_network(tmp_path / "toy.pth").network.family == "toy"
    assert known_families()[-1] == "toy"
    assert family_named("toy").title


def test_nothing_is_known_of_it_where_it_is_not_installed(tmp_path):
    torch.save(toy(7).state_dict(), tmp_path / "toy.pth")
    assert "toy" not in known_families()
    with pytest.raises(CheckpointError, match="no network that is known here"):
        load_network(tmp_path / "toy.pth")
    with pytest.raises(BundleError, match="install the package that brings the family"):
        family_named("toy")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import not_there\n", "'toy' of the package plugged cannot be imported: ModuleNotFoundError"),
        (
            "from support import toy\nclass TOY(toy.ToyFamily):\n    name = 'other'\n",
            "the family 'other' under the name 'toy'",
        ),
    ],
)
def test_a_package_that_does_not_keep_its_word_is_named(install, code, said):
    install(code, "toy = plugged_family:TOY")
    with pytest.raises(X3DDeployError) as error:
        family_named("toy")
    assert said in str(error.value)
    assert "uninstall" in error.value.hint


def test_a_family_of_this_package_is_not_replaced_behind_its_back(install):
    install("TWO = None\n", "two_stream_x3d = plugged_family:TWO")
    assert family_named("two_stream_x3d").name == "two_stream_x3d"
    assert known_families().count("two_stream_x3d") == 1
