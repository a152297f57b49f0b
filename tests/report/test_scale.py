"""Axes and labels: round ticks, and labels that do not cover each other."""

import itertools

import pytest

from x3ddeploy.report.plot import spread, with_margin
from x3ddeploy.report.scale import Scale, milliseconds, number


def test_ends_meet_their_pixels_and_the_middle_is_between():
    linear, log = Scale(0, 10, 100, 0), Scale(1, 100, 0, 200, is_log=True)
    assert (linear(0), linear(5), linear(10)) == (100, 50, 0)
    assert (log(1), log(10), log(100)) == (0, 100, 200)


@pytest.mark.parametrize(
    ("scale", "texts"),
    [
        (Scale(0, 1100, 0, 1), ["0", "500", "1,000"]),
        (Scale(92.9, 93.6, 0, 1), ["93", "93.2", "93.4", "93.6"]),
        (Scale(3, 60, 0, 1, is_log=True), ["5", "10", "20", "50"]),
        (Scale(0.5, 9000, 0, 1, is_log=True), ["1", "10", "100", "1,000"]),
    ],
)
def test_ticks_are_round_and_inside(scale, texts):
    assert [tick.text for tick in scale.ticks()] == texts


def test_no_stretch_is_refused_and_a_margin_makes_one_of_a_single_value():
    with pytest.raises(ValueError, match="no scale"):
        Scale(5, 5, 0, 1)
    for is_log in (False, True):
        low, high = with_margin([5.0], is_log=is_log)
        assert low < 5 < high


def test_labels_that_touch_are_moved_apart_and_others_stay():
    assert spread([10, 12, 100], gap=10) == [6, 16, 100]
    assert spread([50, 50, 50], gap=10) == [40, 50, 60]
    placed = spread([30, 10, 20, 21, 22], gap=10)
    ordered = sorted(placed)
    assert all(b - a >= 10 - 1e-9 for a, b in itertools.pairwise(ordered))
    assert placed.index(min(placed)) == 1


def test_numbers_have_three_digits():
    assert [number(value) for value in (0.01234, 1.5, 150.4, 12345.6, 0)] == ["0.0123", "1.5", "150", "12,346", "0"]
    assert [milliseconds(value) for value in (0.762, 46.2, 1572)] == ["0.76 ms", "46.2 ms", "1,572 ms"]
