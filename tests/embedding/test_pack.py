"""The archive for the target: the bundle as it was sealed, and all that is needed to build and test it there."""

import os
import shutil
import tarfile

import pytest
from support.documents import of_its_type

from x3ddeploy.bundle import Bundle
from x3ddeploy.embedding.pack import pack
from x3ddeploy.errors import BundleError, UsageError


@pytest.fixture
def copied(bundle, tmp_path):
    return shutil.copytree(bundle, tmp_path / "copy")


def test_the_same_bundle_gives_the_same_archive(bundle, copied, tmp_path):
    (tmp_path / "again").mkdir()
    first, second = (folder / "app.tar" for folder in (tmp_path, tmp_path / "again"))
    packed = pack(Bundle.open(bundle), first)
    for file in copied.rglob("*"):
        os.utime(file, (1, 1))
    (copied / "bench.json").write_text("{}")  # not of the manifest
    pack(Bundle.open(copied), second)
    assert first.read_bytes() == second.read_bytes()
    assert packed.size_bytes == first.stat().st_size
    with tarfile.open(first) as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == sorted(member.name for member in members)
    assert {(member.mtime, member.uid, member.gid, member.uname) for member in members} == {(0, 0, 0, "")}
    assert {"app/deploy/manifest.json", "app/cpp/include/x3ddeploy/x3ddeploy.hpp", "app/README.md"} <= {
        member.name for member in members
    }
    assert len(members) == packed.files


def test_an_altered_bundle_is_not_packed(copied, tmp_path):
    (copied / "head.onnx").write_bytes(b"x")
    with pytest.raises(BundleError, match="not what its manifest says"):
        pack(Bundle.open(copied), tmp_path / "app.tar")
    assert not (tmp_path / "app.tar").exists()


def test_the_command_says_what_it_wrote(run, bundle, tmp_path):
    process = run("bundle", bundle, "--pack", tmp_path / "app.tar", "--json")
    assert process.returncode == 0, process.stderr
    assert of_its_type("pack", process.stdout)["size_bytes"] == (tmp_path / "app.tar").stat().st_size
    assert run("bundle", bundle).returncode == 2


def test_the_archive_builds_and_passes_its_self_test(unpacked):
    _, said = unpacked
    assert said.count("passed") == 3, "fp32, fp16, int8"


@pytest.mark.parametrize("name", ["notes.txt", "folder", "pipe", ".tar", "..tar"])
def test_an_archive_takes_the_place_of_nothing_but_an_archive(bundle, tmp_path, name):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UsageError):
        pack(Bundle.open(bundle), tmp_path / name)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "notes.txt").read_text() == "mine"
