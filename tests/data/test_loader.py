"""Loading ahead changes neither the order nor the clips, fills no memory, and hides no failure."""

import threading
import time
import weakref
from collections.abc import Mapping

import numpy as np
import pytest

from x3ddeploy.data import loader
from x3ddeploy.data.loader import iterate_clips
from x3ddeploy.data.sources import LabelledClip
from x3ddeploy.errors import DataError


class Source:
    """Clips that are a number; says what was asked of it."""

    name, split = "numbers", None
    description: Mapping[str, object] = {}

    def __init__(self, count=12, damaged=(), seconds=0.0):
        self.count, self.damaged, self.seconds = count, damaged, seconds
        self.asked: list[int] = []
        self.threads: set[int] = set()
        self.alive: weakref.WeakSet[LabelledClip] = weakref.WeakSet()

    def __len__(self):
        return self.count

    def names(self):
        return [f"clip{index}" for index in range(self.count)]

    def labels(self):
        return [0] * self.count

    def load(self, index):
        self.asked.append(index)
        self.threads.add(threading.get_ident())
        time.sleep(self.seconds * (1 + index % 3))  # later clips are ready before earlier ones
        if index in self.damaged:
            raise DataError(f"clip{index} cannot be decoded")
        clip = LabelledClip(f"clip{index}", 0, {"imgs": np.full(1, index, np.float32)})
        self.alive.add(clip)
        return clip


@pytest.mark.parametrize("workers", [1, 3])
def test_order_is_that_of_the_indices(workers):
    source = Source(seconds=0.002)
    names = [clip.name for clip in iterate_clips(source, [5, 0, 11, 3, 3, 7], workers=workers)]
    assert names == ["clip5", "clip0", "clip11", "clip3", "clip3", "clip7"]
    assert threading.get_ident() not in source.threads


def test_all_clips_are_loaded_where_no_indices_are_given():
    assert [clip.name for clip in iterate_clips(Source())] == Source().names()


def test_memory_is_bounded_by_what_is_loaded_ahead():
    source = Source(count=40)
    for used, _ in enumerate(iterate_clips(source, workers=2, prefetch=3), start=1):
        time.sleep(0.002)
        assert len(source.asked) - used <= 3
        assert len(source.alive) <= 4  # three ahead and the one in use


def test_large_clips_are_loaded_one_at_a_time(monkeypatch):
    monkeypatch.setattr(loader, "AHEAD_BYTES", 7)  # a clip is four bytes
    source = Source(count=20)
    for used, _ in enumerate(iterate_clips(source, workers=2, prefetch=6), start=1):
        time.sleep(0.002)
        assert len(source.asked) - used <= 2  # the first two are asked for before their size is known


def test_nothing_is_loaded_after_the_user_has_stopped():
    source = Source(count=100)
    clips = iterate_clips(source, workers=2, prefetch=3)
    next(clips)
    clips.close()
    assert len(source.asked) <= 4
    assert list(clips) == []


def test_a_clip_that_cannot_be_loaded_ends_the_iteration_in_its_place():
    clips = iterate_clips(Source(damaged=(2,)), workers=3, prefetch=6)
    assert [next(clips).name for _ in range(2)] == ["clip0", "clip1"]
    with pytest.raises(DataError, match="clip2 cannot be decoded"):
        next(clips)


def test_skipped_clips_are_reported_with_their_reason():
    clips = iterate_clips(Source(count=5, damaged=(1, 4)), on_error="skip")
    assert [clip.name for clip in clips] == ["clip0", "clip2", "clip3"]
    assert [(clip.name, clip.reason) for clip in clips.skipped] == [
        ("clip1", "clip1 cannot be decoded"),
        ("clip4", "clip4 cannot be decoded"),
    ]


def test_mistakes_of_the_program_are_not_skipped():
    class Mistaken(Source):
        def load(self, index):
            return 1 / 0

    with pytest.raises(ZeroDivisionError):
        next(iterate_clips(Mistaken(), on_error="skip"))


def test_waiting_is_told_from_working(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    class Slow(Source):
        def load(self, index):
            now[0] += 2  # nothing is loaded ahead here, so each clip is waited for
            return super().load(index)

    clips = iterate_clips(Slow(count=4), workers=1, prefetch=1)
    for _ in clips:
        now[0] += 6
    assert (clips.time.waiting_s, clips.time.total_s, clips.time.waiting_share) == (8, 32, 0.25)
