"""Callers that ask at once: they run side by side, and each call's time is its own."""

import itertools
import threading
import time

import pytest

from x3ddeploy.timing.under_load import measure_under_load


def test_callers_run_side_by_side_and_all_calls_count():
    together = threading.Barrier(3, timeout=10)  # broken where one waits for another's end
    calls = []

    def call():
        together.wait()
        calls.append(1)
        time.sleep(0.01)

    measured = measure_under_load([call] * 3, 0)
    assert len(calls) == len(measured.latencies_ms) == 3
    assert min(measured.latencies_ms) >= 10
    assert measured.calls_per_s == pytest.approx(3 / measured.seconds)


def test_it_lasts_as_long_as_was_asked():
    clock = itertools.count()
    measured = measure_under_load([lambda: None], 20, clock=lambda: float(next(clock)))
    assert measured.seconds >= 20
    assert len(measured.latencies_ms) > 5


def test_what_a_caller_raises_ends_the_others():
    def fail():
        raise ValueError("out of memory")

    with pytest.raises(ValueError, match="out of memory"):
        measure_under_load([lambda: time.sleep(0.001), fail], 60)
