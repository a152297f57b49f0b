"""Killed at every write, rename and fsync in turn, a command leaves the old bundle or the new one, and a rerun is good.

The same with a disk that is full from every write on. What is stored is made up: how it was computed plays no part.
"""

import errno
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from support.disk_faults import contents, full_at, killed_at
from support.parts import PARTS

from x3ddeploy import exchange
from x3ddeploy.atomic import write_bytes
from x3ddeploy.bundle import Bundle, EngineEntry, PrecisionEntry, add_engine, add_precision, create, opened
from x3ddeploy.bundle.engine_options import Batches, BuildOptions, Flavour
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.terms import Precision

PLAN = "engines/gpu-sm90-trt10/head.fp32.plan"


@pytest.fixture(scope="module")
def manifest(bundle):
    """What it says of the network, which is most of it, plays no part."""
    return replace(Bundle.open(bundle).manifest, files={}, origins={}, rounding={}, preprocessing={}, notes=())


class Stored:
    """What the four storing commands do with a bundle of a few small files, in an old and in a new version."""

    def __init__(self, manifest, root):
        self.manifest, self.path, self.archive = manifest, root / "deploy", root / "deploy.tar"

    def export(self, version):
        files = {f"{part}.onnx": f"{part} {version}".encode() for part in PARTS}
        files |= {"golden/imgs.npy": b"clip" * version, f"only_in_{version}/file": b"x"}
        create(self.path, self.manifest, files, lambda: None)

    def quantize(self, version):
        files = {"head.onnx": b"half" * version, "report.json": b"{}", f"only_in_{version}.onnx": b"x"}
        about = PrecisionEntry(f"calib/{version}.json", False, {}, None, {})
        add_precision(Bundle.open(self.path), "int8", files, {"scores.npy": b"scores" * version}, about, b"ranges")

    def build(self, version):
        graph = Bundle.open(self.path).manifest.files["head.onnx"].sha256
        options = BuildOptions(Flavour.TENSORRT, Precision.FP32, Batches(1, 1, 8))
        entry = EngineEntry("head", graph, "10", "GPU", ("9.0",), str(version), options)
        add_engine(self.path, PLAN, entry, b"plan" * version, b"{}")

    def pack(self, version):
        write_bytes(self.archive, b"tar" * version)


# What was done before, the command that is killed, which version it writes.
CASES = {
    "first export": ([], "export", 1),
    "export over a bundle": (["export"], "export", 2),
    "export over precisions and engines": (["export", "quantize", "build"], "export", 2),
    "first precision": (["export"], "quantize", 1),
    "a precision in the place of another": (["export", "quantize", "build"], "quantize", 2),
    "first engine": (["export", "quantize"], "build", 1),
    "an engine in the place of another": (["export", "build"], "build", 2),
    "first archive": (["export"], "pack", 1),
    "an archive in the place of another": (["export", "pack"], "pack", 2),
}


@pytest.fixture
def work():
    """A directory in memory where there is one: hundreds of bundles are written."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as directory:
        yield Path(directory)


@pytest.fixture(params=CASES)
def case(request, manifest, work):
    """Root of the old state, that of the new one, and the command that makes one of the other anywhere."""
    before, command, version = CASES[request.param]
    old, new = work / "old", work / "new"
    old.mkdir()
    for name in before:
        getattr(Stored(manifest, old), name)(1)
    shutil.copytree(old, new)
    getattr(Stored(manifest, new), command)(version)
    return old, new, lambda root: getattr(Stored(manifest, root), command)(version)


def read_only(path):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def fresh(old, work):
    """A copy to be damaged. Second names are enough: nothing is changed in place."""
    root = work / "tried"
    shutil.rmtree(root, ignore_errors=True)
    return shutil.copytree(old, root, copy_function=os.link)


def is_whole(root):
    """The bundle as a reader finds it, if there is one."""
    path = root / "deploy"
    if not path.exists():
        exchange.recover(path)
    return not path.exists() or Bundle.open(path).altered_files() == []


def named(root):
    """What stands under its own name: what commands work in is hidden, and goes with the next of them."""
    return {name: content for name, content in contents(root).items() if not name.split("/")[0].startswith(".")}


def test_killed_anywhere_it_is_the_old_or_the_new_one_and_a_rerun_is_good(case, work, monkeypatch):
    old, new, command = case
    before, after = contents(old), contents(new)
    points, seen = 0, set()
    while True:
        root = fresh(old, work)
        points += 1
        if not killed_at(points, lambda: command(root)):  # noqa: B023 (it is called at once)
            break
        with monkeypatch.context() as patched:
            patched.setattr(opened, "settle", read_only)
            assert is_whole(root), points  # for a reader that may not write
        assert is_whole(root), points
        found = {name: content for name, content in named(root).items() if not name.endswith(".partial")}
        found = {name: content for name, content in found.items() if ".partial/" not in name}
        assert found in (before, after), points
        seen.add(found == after)
        command(root)
        assert contents(root) == after, points
    assert points > 5
    assert seen == {False, True}
    assert contents(old) == before  # nothing is changed in place


def test_a_full_disk_leaves_the_old_or_the_new_one_and_nothing_else(case, work):
    old, new, command = case
    before, after = contents(old), contents(new)
    points = 0
    while True:
        root = fresh(old, work)
        points += 1
        problem, reached = full_at(points, lambda: command(root))  # noqa: B023 (it is called at once)
        if not reached:
            break
        if problem is not None:
            assert isinstance(problem, X3DDeployError), points
            assert "No space left" in str(problem)
        assert is_whole(root), points
        found = contents(root)
        assert found == after if problem is None else found in (before, after), points
    assert problem is None
    assert points > 5


def test_without_an_exchange_in_one_call_a_kill_is_mended(manifest, work, monkeypatch):
    monkeypatch.setattr(exchange, "exchange_in_one_call", lambda one, other: False)
    old = work / "old"
    old.mkdir()
    Stored(manifest, old).export(1)
    points, away = 0, 0
    while True:
        root = fresh(old, work)
        points += 1
        if not killed_at(points, lambda: Stored(manifest, root).export(2)):  # noqa: B023 (it is called at once)
            break
        away += not (root / "deploy").exists()
        assert Bundle.open(root / "deploy").altered_files() == []
        Stored(manifest, root).export(2)
        assert [entry.name for entry in root.iterdir()] == ["deploy"]
    assert away  # there was such a moment


def test_two_commands_at_once_lose_nothing_of_each_others(manifest, work):
    """Both opened the bundle before either wrote."""
    stored = Stored(manifest, work)
    stored.export(1)
    bundle, processes = Bundle.open(stored.path), []
    for name in ("fp16", "bf16", "int8"):
        process = os.fork()
        if not process:
            about = PrecisionEntry("calib/1.json" if name == "int8" else None, False, {}, None, {})
            ranges = b"ranges" if name == "int8" else b""
            add_precision(bundle, name, {"head.onnx": name.encode() * 1000}, {}, about, ranges)
            os._exit(0)
        processes.append(process)
    stored.build(1)
    assert [os.waitpid(process, 0)[1] for process in processes] == [0, 0, 0]
    again = Bundle.open(stored.path)
    assert set(again.manifest.precisions) == {"fp16", "bf16", "int8"}
    assert set(again.manifest.engines) == {PLAN}
    assert again.altered_files() == []


def test_what_was_made_from_graphs_that_are_gone_is_refused(manifest, work):
    stored = Stored(manifest, work)
    stored.export(1)
    bundle = Bundle.open(stored.path)
    stored.export(2)
    with pytest.raises(X3DDeployError, match="was replaced while this command ran"):
        add_precision(bundle, "fp16", {"head.onnx": b"x"}, {}, PrecisionEntry(None, False, {}, None, {}))
    assert not Bundle.open(stored.path).manifest.precisions


def test_an_export_does_not_lose_what_came_into_the_bundle_while_it_ran(manifest, work):
    stored = Stored(manifest, work)
    stored.export(1)

    def refuse():
        raise X3DDeployError("there are engines by now")

    with pytest.raises(X3DDeployError, match="engines by now"):
        create(stored.path, manifest, {"head.onnx": b"new"}, refuse)
    assert Bundle.open(stored.path).part_path("head").read_bytes() == b"head 1"
    assert [entry.name for entry in work.iterdir()] == ["deploy"]
