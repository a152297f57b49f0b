"""Histograms: what they count must be what was there, however the clips come."""

import numpy as np
import pytest

from x3ddeploy.calibration.histogram import BINS, SAMPLE, Histogram

RANDOM = np.random.default_rng(0)


def test_counts_are_those_of_numpy_for_values_of_one_limit():
    values = RANDOM.uniform(-0.9, 0.9, 5000).astype(np.float32)
    values[0] = 0.99
    histogram = Histogram()
    histogram.add(values)
    assert histogram.limit == 1.0
    expected, _ = np.histogram(values, BINS, (-1, 1))
    assert np.abs(histogram.counts - expected).sum() <= 2  # a value on an edge may fall to either side
    assert histogram.counts.sum() == 5000


def test_growing_keeps_every_count_and_merges_bins_in_pairs():
    small = RANDOM.normal(0, 0.2, 3000).astype(np.float32)
    large = RANDOM.normal(0, 40, 3000).astype(np.float32)
    grown, at_once = Histogram(), Histogram()
    grown.add(small)
    grown.add(large)
    at_once.add(np.concatenate([large, small]))
    assert grown.limit == at_once.limit
    assert np.abs(grown.counts - at_once.counts).sum() <= 4
    assert (grown.low, grown.high) == (at_once.low, at_once.high)


def test_a_tiny_tensor_and_then_a_huge_one_lose_nothing():
    histogram = Histogram()
    histogram.add(np.full(10, 1e-12, np.float32))
    histogram.add(np.full(7, -3e5, np.float32))
    assert histogram.counts.sum() == 17
    assert histogram.low == -3e5


def test_zeros_are_counted_apart():
    values = np.zeros(1000, np.float32)
    values[::100] = 1.5
    histogram = Histogram()
    histogram.add(values)
    assert (histogram.zeros, histogram.total, histogram.counts.sum()) == (990, 1000, 10)


def test_large_tensors_are_sampled_but_their_extremes_are_not_missed():
    values = RANDOM.normal(0, 1, 3 * SAMPLE + 11).astype(np.float32)
    values[12345], values[54321] = 99.0, -98.0
    histogram = Histogram()
    histogram.add(values)
    assert histogram.total < 1.5 * SAMPLE
    assert (histogram.low, histogram.high) == (-98.0, 99.0)
    assert histogram.limit >= 99.0


def test_magnitudes_fold_both_signs():
    histogram = Histogram()
    histogram.add(np.array([-0.75, 0.75, 0.1, -0.1, 0.75], np.float32))
    magnitudes = histogram.magnitudes()
    assert magnitudes.sum() == 5
    assert magnitudes[int(0.75 * BINS / 2 / histogram.limit)] == pytest.approx(3, abs=1)
