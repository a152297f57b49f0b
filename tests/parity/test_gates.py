"""Every threshold of the numeric gates from both sides. The numbers stand here again, so that none moves unseen."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from x3ddeploy.bundle import PrecisionEntry, Spread
from x3ddeploy.errors import BundleError, GateError, UsageError
from x3ddeploy.parity import gates
from x3ddeploy.parity.compare import ParityRow, failures
from x3ddeploy.parity.gates import Float32Gate, float32_tolerance, lower_tolerance
from x3ddeploy.parity.metrics import Difference, compare, compare_output

LABEL = "head -> scores"


def row(relative, part="head", output="scores", finite=True):
    return ParityRow(part, "clips", 1, output, Difference(0.0, 0.0, relative, relative, relative, 1.0, None, finite))


def passes(relative, gate, **about):
    return failures([row(relative, **about)], gate) == []


@pytest.mark.parametrize(
    ("rounding", "most"),
    [
        (3.4e-5, 8 * 3.4e-5),  # eight times PyTorch's own rounding: the wide, deep network that 5e-5 refused
        (1e-8, 1e-5),  # the floor
        (0.0, 1e-5),
        (1.0, 1e-3),  # and the most, whatever the network's own rounding is
    ],
)
def test_float32_is_held_to_a_factor_of_pytorchs_rounding(rounding, most):
    gate = Float32Gate({LABEL: rounding})
    assert passes(most * 0.99, gate)
    assert not passes(most * 1.01, gate)


def test_an_explicit_tolerance_is_the_only_one():
    gate = Float32Gate({}, 3e-4)
    assert passes(3e-4 * 0.99, gate)
    assert not passes(3e-4 * 1.01, gate)


@pytest.mark.parametrize("tolerance", [0.0, -1e-5, math.nan, math.inf])
def test_what_is_no_tolerance_is_refused(tolerance):
    with pytest.raises(UsageError, match="no tolerance"):
        Float32Gate({}, tolerance)


def test_preprocessing_graphs_are_held_to_a_number():
    gate = Float32Gate({})
    assert passes(0.99e-5, gate, part="preprocess_rgb", output="imgs")
    assert not passes(1.01e-5, gate, part="preprocess_rgb", output="imgs")
    assert passes(0.99e-5, gate, part="preprocess", output="imgs")


@pytest.mark.parametrize("rounding", [math.nan, math.inf])
def test_a_rounding_that_is_no_number_opens_no_gate(rounding):
    assert not passes(1.01e-3, Float32Gate({LABEL: rounding}))


@pytest.mark.parametrize("relative", [math.nan, math.inf])
def test_nan_never_passes(relative):
    assert not passes(relative, Float32Gate({LABEL: 1.0}))
    assert not passes(0.0, Float32Gate({LABEL: 1.0}), finite=False)


def test_an_output_of_unknown_rounding_and_no_output_are_no_pass():
    with pytest.raises(BundleError, match="head -> scores"):
        failures([row(0.0)], Float32Gate({}))
    with pytest.raises(GateError, match="nothing was compared"):
        failures([], Float32Gate({}))


@pytest.mark.parametrize("measure", ["relative", "rms", "channels"])
@pytest.mark.parametrize(("rounding", "most"), [(0.01, 0.02), (1e-5, 1e-3), (0.0, 1e-3)])
def test_lower_precisions_are_held_to_a_factor_of_each_measure_of_their_rounding(measure, rounding, most):
    made = PrecisionEntry(None, False, {}, None, {}, {LABEL: Spread(rounding, rounding, rounding)})
    tolerance = lower_tolerance(made, LABEL)

    def difference(value):
        measures = dict.fromkeys(("relative", "rms", "channels"), 0.0) | {measure: value}
        return Difference(0.0, 0.0, **measures, cosine=1.0, top1_agreement=None, finite=True)

    assert difference(most * 0.99).within(tolerance)
    assert not difference(most * 1.01).within(tolerance)
    assert not difference(math.nan).within(tolerance)


def test_an_output_of_zeros_is_refused_whatever_the_rounding_is():
    made = PrecisionEntry(None, False, {}, None, {}, {LABEL: Spread(5.0, 5.0, 5.0)})
    reference = np.random.default_rng(0).normal(size=(1, 8))
    tolerance = lower_tolerance(made, LABEL)
    assert not compare(reference, np.zeros_like(reference)).within(tolerance)
    assert compare(reference, 0.11 * reference).within(tolerance)
    assert not compare(reference, 0.09 * reference).within(tolerance)


def test_the_cpp_self_test_has_the_same_numbers():
    text = (Path(__file__).parents[2] / "cpp" / "examples" / "cli" / "self_test.cpp").read_text()
    theirs = {name: float(value) for name, value in re.findall(r"k(\w+) = ([\d.e-]+)[,;]", text)}
    ours = {
        "Float32Factor": gates.FLOAT32_FACTOR,
        "Preprocessing": 1e-4,  # of the golden frames, as in x3ddeploy/bundle/check.py
        "Float32Floor": gates.FLOAT32_FLOOR,
        "Float32Most": gates.FLOAT32_MOST,
        "LowerFactor": gates.LOWER_FACTOR,
        "LowerFloor": gates.LOWER_FLOOR,
        "LowerMostRms": gates.LOWER_MOST_RMS,
        "EngineFloat32Floor": gates.ENGINE_FLOAT32_FLOOR,
        "EngineLowerFloor": gates.ENGINE_LOWER_FLOOR,
    }
    assert {name: theirs.get(name) for name in ours} == ours


def test_without_a_rounding_a_lower_precision_is_not_judged():
    with pytest.raises(BundleError, match="quantize"):
        lower_tolerance(PrecisionEntry(None, False, {}, None, {}), LABEL)


def test_float32_tolerance_is_never_nan():
    assert not float32_tolerance(math.nan) > 1e-3


def test_each_measure_sees_its_own_kind_of_fault():
    reference = np.random.default_rng(0).normal(size=(1, 8, 4, 5, 5))
    pixel, noise, bias = reference.copy(), reference.copy(), reference.copy()
    pixel[0, 3, 2, 1, 1] += 1
    noise += np.random.default_rng(1).normal(scale=0.1, size=noise.shape)
    bias[:, 3] += 0.3
    assert compare(reference, pixel).relative > 0.2
    assert compare(reference, pixel).rms < 0.05
    assert compare(reference, noise).rms == pytest.approx(0.1, rel=0.1)
    assert compare(reference, noise).channels < 0.02
    assert compare(reference, bias).channels == pytest.approx(0.3 / math.sqrt(8), rel=0.1)


def test_scores_are_compared_in_absolute_terms():
    reference, actual = np.full((1, 4), 0.25), np.array([[0.25, 0.25, 0.26, 0.24]])
    assert compare_output("scores", reference, actual).relative == pytest.approx(0.01)
    assert compare_output("rgb_logits", reference, actual).relative == pytest.approx(0.04)
