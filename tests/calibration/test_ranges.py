"""Ranges: each method must do what its name says, and none may be fooled by a heatmap's zeros."""

import numpy as np
import pytest

from x3ddeploy.calibration.histogram import BINS, Histogram
from x3ddeploy.calibration.ranges import METHODS, choose_range
from x3ddeploy.errors import UsageError


def histogram_of(values):
    histogram = Histogram()
    histogram.add(np.asarray(values, np.float32))
    return histogram


NORMAL = np.random.default_rng(3).normal(0, 1, 200_000)


def test_max_covers_everything():
    found = choose_range(histogram_of(NORMAL), "max", unsigned=True)
    assert found.low == pytest.approx(NORMAL.min())
    assert found.high == pytest.approx(NORMAL.max())


def test_percentile_leaves_the_largest_values_out():
    found = choose_range(histogram_of(NORMAL), "percentile", unsigned=False)
    assert found.high == pytest.approx(np.percentile(np.abs(NORMAL), 99.99), rel=0.02)
    assert found.high < NORMAL.max()


def test_mse_finds_the_threshold_that_a_direct_search_finds():
    values = np.random.default_rng(4).standard_t(4, 100_000).astype(np.float32)

    def error(threshold):
        scale = threshold / 127
        return ((values - np.clip(np.rint(values / scale), -127, 127) * scale) ** 2).mean()

    found = choose_range(histogram_of(values), "mse", unsigned=False).high
    best = min(error(threshold) for threshold in np.linspace(0.05, 1, 200) * np.abs(values).max())
    assert error(found) <= 1.05 * best


def test_entropy_agrees_with_onnxruntime_on_a_normal_distribution():
    calibrate = pytest.importorskip("onnxruntime.quantization.calibrate")
    histogram = histogram_of(NORMAL)
    collector = calibrate.HistogramCollector("entropy", True, BINS, 256, 99.9, "same")
    edges = np.linspace(-histogram.limit, histogram.limit, BINS + 1).astype(np.float32)
    content = (histogram.counts.copy(), edges, np.float32(histogram.low), np.float32(histogram.high))
    theirs = float(collector.get_entropy_threshold(content, 256)[1])
    assert choose_range(histogram, "entropy", unsigned=False).high == pytest.approx(theirs, rel=0.15)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("unsigned", [True, False])
def test_zeros_do_not_move_a_range(method, unsigned):
    lit = np.abs(NORMAL[:2000])
    heatmap = np.concatenate([lit, np.zeros(998_000)])
    assert choose_range(histogram_of(heatmap), method, unsigned=unsigned) == choose_range(
        histogram_of(lit), method, unsigned=unsigned
    )


@pytest.mark.parametrize("method", METHODS)
def test_no_range_reaches_beyond_what_was_seen(method):
    found = choose_range(histogram_of(np.abs(NORMAL)), method, unsigned=True)
    assert found.low == 0
    assert 0 < found.high <= np.abs(NORMAL).max() * (1 + 1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_tensor_of_zeros_has_an_empty_range(method):
    found = choose_range(histogram_of(np.zeros(100)), method, unsigned=False)
    assert (found.low, found.high) == (0, 0)


def test_an_unknown_method_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match="magic") as error:
        choose_range(histogram_of(NORMAL), "magic", unsigned=False)
    assert "entropy" in error.value.hint
