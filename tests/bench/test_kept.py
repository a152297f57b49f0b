"""What a benchmark made once is taken by the next run of the same, and by that alone."""

import os

import pytest

from x3ddeploy.benchmarking import kept, workbench
from x3ddeploy.benchmarking.kept import kept_bytes, kept_file
from x3ddeploy.bundle import Bundle


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "x3ddeploy" / "exported"


def take(key, made=b"made"):
    """What came back, and what was told."""
    told: list[str] = []
    return kept_bytes(kept_file("exported", "", (key,)), lambda: made, "it", told.append), told


def test_it_is_made_once_and_the_next_run_says_that_it_was(cache):
    assert take("a", b"first") == (b"first", ["it: making it"])
    assert take("a", b"second") == (b"first", ["it: made before"])
    assert take("b", b"other") == (b"other", ["it: making it"])
    assert len([*cache.iterdir()]) == 2
    assert cache.stat().st_mode & 0o077 == 0


def test_a_cache_that_cannot_be_written_costs_the_time_and_not_the_benchmark(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    made, (first, second) = take("a")
    assert (made, first) == (b"made", "it: making it")
    assert second.startswith("it: not kept for the next run")


def test_what_was_not_used_for_longest_goes_first(cache, monkeypatch):
    monkeypatch.setattr(kept, "_MOST_BYTES", 8)
    for key, age_s in (("oldest", 30), ("used", 20)):
        take(key)
        file = kept_file("exported", "", (key,))
        os.utime(file, (file.stat().st_atime, file.stat().st_mtime - age_s))
    os.utime(kept_file("exported", "", ("oldest",)))  # as taking it does
    take("new")
    assert {file.name for file in cache.iterdir()} == {
        kept_file("exported", "", (key,)).name for key in ("oldest", "new")
    }


def test_a_plain_export_is_made_once_for_a_bundle_and_a_batch(bundle, monkeypatch):
    exported: list[int] = []

    def export(network, inputs, outputs):
        exported.append(len(inputs["imgs"]))
        return b"graph of %d clips" % len(inputs["imgs"])

    monkeypatch.setattr(workbench, "plain_export", export)
    benches = [
        workbench.Workbench(Bundle.open(bundle), workbench.Setting(batch, threads=1), lambda text: None)
        for batch in (1, 1, 2)
    ]
    assert [bench.plain for bench in benches] == [b"graph of 1 clips", b"graph of 1 clips", b"graph of 2 clips"]
    assert exported == [1, 2]
