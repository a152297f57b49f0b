"""The contract of a network: what follows from it, and what it refuses to say."""

from dataclasses import replace

import msgspec
import pytest

from x3ddeploy.contract import Activation, Contract, Input, InputKind, Output, OutputKind, Part, Score, Transform, Views
from x3ddeploy.errors import BundleError


def one_stream(**changes):
    """Frames through a backbone, a neck and a head."""
    values = {
        "family": "toy",
        "inputs": {"imgs": Input(InputKind.FRAMES, ("N", 3, 4, 8, 8), (Transform("Normalize", {"mean": [0.0]}),))},
        "parts": {
            "head": Part(("neck_feat",), ("logits", "scores")),
            "neck": Part(("feat",), ("neck_feat",)),
            "backbone": Part(("imgs",), ("feat",)),
            "recognizer": Part(("imgs",), ("logits", "scores")),
        },
        "outputs": {
            "feat": Output(OutputKind.FEATURES, ("N", 8, 4, 2, 2)),
            "neck_feat": Output(OutputKind.FEATURES, ("N", 8)),
            "logits": Output(OutputKind.LOGITS, ("N", 5), Activation.SOFTMAX),
            "scores": Output(OutputKind.SCORES, ("N", 5)),
        },
        "scores": {"scores": Score({"logits": 1.0})},
        "deployed": "scores",
    }
    return Contract(**{**values, **changes})


def test_order_of_work_follows_from_the_tensors_whatever_the_order_of_the_parts():
    contract = one_stream()
    assert contract.waves == (("backbone",), ("neck",), ("head",))
    assert contract.backbones == ("backbone",)
    assert contract.logits == {"scores": "logits"}


def test_a_network_that_is_not_cut_is_one_wave():
    whole = {"recognizer": Part(("imgs",), ("logits", "scores"))}
    assert one_stream(parts=whole).waves == (("recognizer",),)


def test_survives_json():
    contract = one_stream()
    assert msgspec.json.decode(msgspec.json.encode(contract), type=Contract) == contract


def test_views_count_the_rows_of_one_video():
    assert Views(clips=10, crops=3, flip=True).count == 60


LOGITS = Output(OutputKind.LOGITS, ("N", 5), Activation.SOFTMAX)
FINE = one_stream()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parts": {**FINE.parts, "neck": Part(("nothing",), ("neck_feat",))}}, "nothing gives"),
        ({"parts": {"backbone": FINE.parts["backbone"]}}, "recognizer"),
        ({"parts": {**FINE.parts, "recognizer": Part(("feat",), ("scores",))}}, "more than the network's inputs"),
        ({"outputs": {name: value for name, value in FINE.outputs.items() if name != "feat"}}, "not described"),
        ({"deployed": "fused"}, "deployed"),
        ({"scores": {"scores": Score({"feat": 1.0})}}, "no logits"),
        ({"scores": {"scores": Score({"logits": float("nan")})}}, "not finite"),
        ({"scores": {"scores": Score({"logits": -1.0})}}, "negative"),
        ({"scores": {"scores": Score({"logits": 0.0})}}, "zero"),
        ({"scores": {"scores": Score({})}}, "zero"),
        ({"outputs": {**FINE.outputs, "logits": replace(LOGITS, shape=("N", 0))}}, "shape"),
        ({"outputs": {**FINE.outputs, "logits": replace(LOGITS, shape=("N", "N"))}}, "shape"),
        ({"outputs": {**FINE.outputs, "logits": replace(LOGITS, shape=(4, 5))}}, "numbers of clips"),
        ({"inputs": {}}, "input"),
    ],
)
def test_a_contradiction_is_refused(changes, message):
    with pytest.raises(BundleError) as caught:
        one_stream(**changes)
    assert message in str(caught.value) + " ".join(caught.value.details)


def test_parts_that_wait_for_each_other_are_refused():
    parts = {**FINE.parts, "backbone": Part(("imgs", "neck_feat"), ("feat",))}
    with pytest.raises(BundleError, match="wait for each other"):
        one_stream(parts=parts)
