"""Accuracy figures by hand, and a gate that no luck gets through."""

import math
from dataclasses import replace

import numpy as np
import pytest
from support.contracts import two_streams

from x3ddeploy.contract import Average
from x3ddeploy.precision.accuracy import StreamAccuracy, accuracies, agreement
from x3ddeploy.probabilities import softmax

CLASSES = 3


def one_hot(*classes, strength=4.0):
    return strength * np.eye(CLASSES, dtype=np.float32)[list(classes)]


def measured(before, after, labels):
    first, second = ({"rgb": one_hot(*classes), "pose": one_hot(*classes)} for classes in (before, after))
    return accuracies(first, second, labels, [f"clip{index}" for index in range(len(before))], two_streams())


def test_top1_flips_and_class_changes_are_counted():
    found = measured(before=(0, 1, 2, 2), after=(0, 2, 2, 1), labels=(0, 1, 2, 1))["rgb"]
    assert (found.top1_before, found.top1_after, found.agreement) == (75.0, 75.0, 0.5)
    assert found.drop == 0
    assert found.class_changes == {}  # class 1 lost one clip and won another
    assert [(flip.clip, flip.label, flip.before, flip.after) for flip in found.flips] == [
        ("clip1", 1, 1, 2),
        ("clip3", 1, 2, 1),
    ]


def test_class_changes_name_who_paid():
    found = measured(before=(0, 1, 2), after=(0, 0, 0), labels=(0, 1, 2))["fused"]
    assert found.class_changes == {1: -1, 2: -1}
    assert found.drop == pytest.approx(200 / 3)


def test_unlabelled_clips_count_for_agreement_only():
    found = measured(before=(0, 1), after=(0, 0), labels=(0, None))["pose"]
    assert (found.top1_before, found.top1_after, found.agreement) == (100.0, 100.0, 0.5)


def test_fusion_weights_decide_the_fused_class():
    before = {"rgb": one_hot(0), "pose": one_hot(1, strength=3.0)}
    found = [
        accuracies(before, before, [1], ["clip"], two_streams(weights))["fused"].top1_before
        for weights in ((1, 1), (1, 3))
    ]
    assert found == [0.0, 100.0]


def test_streams_whose_mean_logits_are_averaged_are_fused_by_their_logits():
    logits = {"rgb": one_hot(0, strength=5), "pose": one_hot(1, strength=30)}
    contract = two_streams((2, 1))
    by_logits = {name: replace(output, average=Average.SCORE) for name, output in contract.outputs.items()}
    found = [
        accuracies(logits, logits, [1], ["clip"], judged)["fused"].top1_before
        for judged in (contract, replace(contract, outputs=by_logits))
    ]
    assert found == [0.0, 100.0]  # as probabilities 2:1 decides, as logits the larger one


def test_agreement_of_equal_logits_is_perfect_and_kl_is_that_of_the_formula():
    logits = np.array([[1.0, 0.0, -1.0], [0.3, 0.2, 0.1]], np.float32)
    same = agreement(logits, logits)
    assert (same.kl, same.flips) == (pytest.approx(0, abs=1e-9), 0)
    assert same.cosine == pytest.approx(1)
    other = logits[:, ::-1]
    p, q = softmax(logits), softmax(other)
    assert agreement(logits, other).kl == pytest.approx((p * np.log(p / q)).sum(1).mean(), rel=1e-6)


def accuracy(agreeing, before=None, after=None):
    return StreamAccuracy(agreeing, before, after, {}, ())


@pytest.mark.parametrize(
    ("found", "passes"),
    [
        (accuracy(1.0, 90, 90), True),
        (accuracy(0.97, 90, 89.6), True),
        (accuracy(0.97, 90, 89.4), False),
        (accuracy(0.90, 90, 91), False),  # as many luckily right as wrong
        (accuracy(0.996), True),
        (accuracy(0.99), False),  # unlabelled: each changed clip may be a lost one
    ],
)
def test_the_gate_asks_for_accuracy_and_for_agreement(found, passes):
    assert (found.failures("rgb", max_drop=0.5) == []) == passes


def gate(agreement, before, after, max_drop=1.0):
    return StreamAccuracy(agreement, before, after, {}, ()).failures("rgb", max_drop)


# The numbers stand here again, so that no threshold moves unseen.
@pytest.mark.parametrize(
    ("agreement", "before", "after", "passes"),
    [
        (0.951, 80.0, 79.01, True),
        (0.951, 80.0, 78.99, False),  # more than a point of top-1
        (0.949, 80.0, 80.0, False),  # more than 5 % of the clips change their class, whatever the labels say
        (0.9901, None, None, True),
        (0.9899, None, None, False),  # without labels each changed clip may be a lost one
        (math.nan, 80.0, 80.0, False),
        (math.nan, None, None, False),
        (1.0, 80.0, math.nan, False),
        (1.0, math.nan, 80.0, False),
    ],
)
def test_accuracy_is_held_to_the_budget_and_to_95_percent_of_the_clips(agreement, before, after, passes):
    assert (gate(agreement, before, after) == []) is passes
