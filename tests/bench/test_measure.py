"""Interleaved timing, with a clock of the test's own."""

from collections import Counter
from itertools import pairwise, permutations

import pytest

from x3ddeploy.timing.measure import MIN_ROUNDS, WARM_UP_RUNS, measure, ratio, statistics


class Clock:
    """Time passes only where a competitor says so."""

    def __init__(self):
        self.now = 0.0
        self.calls = []

    def __call__(self):
        return self.now

    def competitor(self, name, *seconds):
        times = list(seconds)

        def run():
            self.calls.append(name)
            self.now += times[0] if len(times) == 1 else times.pop(0)

        return run


def test_every_round_holds_everyone_and_everyone_follows_everyone():
    clock = Clock()
    runs = {name: clock.competitor(name, 1.0) for name in "abc"}
    result = measure(runs, seconds=0, clock=clock)
    assert result.rounds == MIN_ROUNDS == 5
    assert result.samples_ms == {name: [1000.0] * 5 for name in "abc"}
    clock.calls.clear()
    measure(runs, seconds=120, clock=clock)
    counted = clock.calls[WARM_UP_RUNS * 3 :]
    assert all(set(counted[at : at + 3]) == set("abc") for at in range(0, len(counted), 3))
    followed = Counter(pairwise(counted))
    assert all(followed[pair] >= 5 for pair in permutations("abc", 2)), followed
    assert not result.interrupted


def test_the_budget_ends_it_after_a_whole_round():
    clock = Clock()
    shares: list[float] = []
    result = measure({"a": clock.competitor("a", 2.0), "b": clock.competitor("b", 1.0)}, 20, shares.append, clock)
    assert result.rounds == 7  # 7 rounds of 3 s are the first to reach 20 s
    assert shares[-1] == 1.0
    assert shares == sorted(shares)


def test_it_ends_early_when_all_are_stable_but_not_before_a_quarter_of_its_time():
    clock = Clock()
    runs = {"a": clock.competitor("a", 1.0), "b": clock.competitor("b", 1.0)}
    result = measure(runs, 100, clock=clock, is_stable=lambda samples: len(samples) >= 6)
    assert result.rounds == 13  # 13 rounds of 2 s are the first to reach 25 s
    runs["b"] = clock.competitor("b", 1.0)
    result = measure(runs, 40, clock=clock, is_stable=lambda samples: len(samples) >= 15)
    assert result.rounds == 15


def test_warm_up_is_not_counted():
    clock = Clock()
    result = measure({"a": clock.competitor("a", *[100.0] * WARM_UP_RUNS, *[1.0] * 50)}, 0, clock=clock)
    assert result.samples_ms["a"] == [1000.0] * MIN_ROUNDS


def test_an_interrupt_keeps_whole_rounds_only():
    clock = Clock()
    good = clock.competitor("a", 1.0)
    count = 0

    def stops():
        nonlocal count
        count += 1
        if count == WARM_UP_RUNS + 4:
            raise KeyboardInterrupt
        clock.now += 2.0

    result = measure({"a": good, "b": stops}, 1000, clock=clock)
    assert result.interrupted
    assert result.rounds == 3
    assert len(result.samples_ms["a"]) == len(result.samples_ms["b"]) == 3


def test_ratios_are_taken_within_a_round():
    """A machine that turns ten times slower in the middle changes medians, and no ratio."""
    fast = [10.0, 10.0, 100.0, 100.0]
    slow = [20.0, 20.0, 200.0, 200.0]
    assert ratio(slow, fast).median == pytest.approx(2)
    assert ratio(slow, fast).lower_quartile == ratio(slow, fast).upper_quartile == pytest.approx(2)


def test_statistics_are_what_they_are_called():
    result = statistics([float(value) for value in range(1, 12)])
    assert (result.median_ms, result.p90_ms, result.mean_ms, result.min_ms) == (6.0, 10.0, 6.0, 1.0)
