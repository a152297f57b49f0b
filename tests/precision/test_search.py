"""The search for what stays float: it finds the guilty block, gives up no more than needed, goes on where it was."""

import numpy as np
import pytest
from support.contracts import two_streams

from x3ddeploy.errors import GateError
from x3ddeploy.precision.accuracy import Agreement
from x3ddeploy.precision.qdq import Scheme
from x3ddeploy.precision.search import Gate, Layers, Sensitivity, Unit, measure_sensitivity, search
from x3ddeploy.precision.sites import QUANTIZABLE, find_sites
from x3ddeploy.precision.streams import stream_graph, streams_of, streams_of_nodes
from x3ddeploy.precision.targets import TARGETS, TargetPrecision
from x3ddeploy.precision.trials import Quantizer, Trials
from x3ddeploy.runtimes.registry import Execution
from x3ddeploy.terms import Precision, Target

CLIPS = 40
ORT = Execution("onnxruntime", "cpu", Precision.INT8)
STREAMS = streams_of(two_streams())
BLOCKS = ("a", "b", "c", "d")


class FakeTrials(Trials):
    """A stream's logits break where all blocks of one of its groups in `breaks` are quantized."""

    def __init__(self, breaks):
        self.breaks, self.asked = breaks, []

    def reference(self, stream):
        return 4 * np.eye(4, dtype=np.float32)[np.arange(CLIPS) % 4]

    def logits(self, stream, sites):
        self.asked.append((stream, frozenset(sites)))
        broken = any(
            all(f"{stream}/{block}" in sites for block in together) for together in self.breaks.get(stream, ())
        )
        return np.roll(self.reference(stream), 1, axis=1) if broken else self.reference(stream)


def sensitivities(kl):
    return [
        Sensitivity(
            Unit(f"{stream}_{block}", stream, frozenset({f"{stream}/{block}"}), 1000),
            Agreement(kl.get(block, 1e-4) if stream == "pose" else 1e-6, 1.0, 0),
        )
        for stream in ("rgb", "pose")
        for block in BLOCKS
    ]


def gate(max_drop=0.5):
    return Gate([index % 4 for index in range(CLIPS)], [str(index) for index in range(CLIPS)], two_streams(), max_drop)


def found(breaks, kl):
    return search(FakeTrials(breaks), sensitivities(kl), gate(), lambda text: None)


def test_nothing_is_given_up_where_the_gate_holds():
    choice = found({}, {})
    assert choice.kept == {}
    assert len(choice.sites) == 8


def test_the_guilty_block_is_given_up_with_its_reason():
    choice = found({"pose": [("b",)]}, {"b": 0.5})
    assert list(choice.kept) == ["pose_b"]
    assert "top-1 falls" in choice.kept["pose_b"]
    assert "pose/b" not in choice.sites
    assert len(choice.sites) == 7


def test_blocks_given_up_in_vain_are_quantized_after_all():
    choice = found({"pose": [("d",)]}, {"a": 0.9, "b": 0.5, "d": 0.1})
    assert list(choice.kept) == ["pose_d"]


def test_blocks_that_break_only_together_cost_one_of_them():
    choice = found({"pose": [("c", "d")]}, {"c": 0.2, "d": 0.3})
    assert list(choice.kept) == ["pose_d"]


def test_the_other_stream_is_not_touched():
    trials = FakeTrials({"pose": [("b",)]})
    search(trials, sensitivities({"b": 0.5}), gate(), lambda text: None)
    whole = frozenset(f"rgb/{block}" for block in BLOCKS)
    assert all(whole <= sites for stream, sites in trials.asked if stream == "rgb")


def test_a_whole_stream_may_stay_float():
    choice = found({"pose": [(block,) for block in BLOCKS]}, {"a": 0.5, "b": 0.4, "c": 0.3, "d": 0.2})
    assert list(choice.kept) == ["pose_a", "pose_b", "pose_c", "pose_d"]
    assert choice.sites == {f"rgb/{block}" for block in BLOCKS}


def test_int8_with_nothing_quantized_is_no_int8():
    alone = [(block,) for block in BLOCKS]
    with pytest.raises(GateError, match="budget"):
        found({"pose": alone, "rgb": alone}, {})


@pytest.fixture
def quantizer(recognizer, ranges_of):
    return Quantizer(TARGETS[Target.ONNXRUNTIME], ranges_of(recognizer))


def test_units_hold_every_eligible_layer_once(recognizer, quantizer):
    sites = quantizer.eligible(recognizer)
    work = {site.node: 7 for site in sites}
    layers = Layers(tuple(sites), work, streams_of_nodes(recognizer, STREAMS))
    for units in (layers.by_block(), layers.by_kind()):
        members = [name for unit in units for name in unit.sites]
        assert sorted(members) == sorted(site.node for site in sites)
        assert all(unit.multiply_adds == 7 * len(unit.sites) for unit in units)


def test_a_layer_counts_to_the_streams_that_it_leads_to(recognizer):
    reached = streams_of_nodes(recognizer, STREAMS)
    assert reached["rgb_backbone/conv5/Conv"] == ("rgb",)
    assert reached["pose_backbone/conv5/Conv"] == ("pose",)
    assert all(reached[site.node] for site in find_sites(recognizer))
    both = streams_of_nodes(recognizer, {"a": "rgb_logits", "b": "rgb_logits"})
    assert both["rgb_backbone/conv5/Conv"] == ("a", "b")


def test_a_stream_needs_the_inputs_that_its_graph_reads(recognizer):
    graph = stream_graph(recognizer, "pose_logits")
    assert [value.name for value in graph.graph.input] == ["heatmap_imgs"]
    both = stream_graph(recognizer, "scores")
    assert [value.name for value in both.graph.input] == ["imgs", "heatmap_imgs"]


def test_a_block_of_several_streams_is_given_up_for_any_of_them():
    shared = Sensitivity(Unit("trunk", "rgb", frozenset({"pose/a"}), 1, ("pose",)), Agreement(1.0, 1.0, 0))
    choice = search(FakeTrials({"pose": [("a",)]}), [shared, *sensitivities({})], gate(), lambda text: None)
    assert "trunk" in choice.kept


def test_sensitivity_is_zero_for_nothing_and_grows_with_a_coarser_range(recognizer, ranges_of, clips):
    from x3ddeploy.calibration.ranges import Range

    site = next(site for site in find_sites(recognizer) if site.node == "pose_backbone/conv5/Conv")
    unit = Unit("last", "pose", frozenset({site.node}), 1)
    target = TargetPrecision(Scheme(QUANTIZABLE, True, True), None, "onnxruntime")
    ranges = ranges_of(recognizer)
    found = []
    for factor in (1, 30):
        wide = {**ranges, site.source: Range(0, ranges[site.source].high * factor)}
        found.append(
            measure_sensitivity(Trials(recognizer, STREAMS, ORT, Quantizer(target, wide), clips), [unit])[0].agreement
        )
    nothing = Unit("nothing", "pose", frozenset(), 1)
    assert measure_sensitivity(Trials(recognizer, STREAMS, ORT, Quantizer(target, ranges), clips), [nothing])[
        0
    ].agreement.kl == (pytest.approx(0, abs=1e-12))
    assert 0 < found[0].kl < found[1].kl


def test_trials_are_remembered_over_an_interruption(recognizer, quantizer, clips, tmp_path):
    journal = tmp_path / "trials.npz"
    sites = {site.node for site in quantizer.eligible(recognizer)}
    first = Trials(recognizer, STREAMS, ORT, quantizer, clips, journal, "key")
    expected = first.logits("rgb", sites)

    class Unreadable:
        def __iter__(self):
            raise AssertionError("measured again")

    again = Trials(recognizer, STREAMS, ORT, quantizer, Unreadable(), journal, "key")
    np.testing.assert_array_equal(again.logits("rgb", sites), expected)
    with pytest.raises(AssertionError, match="measured again"):
        Trials(recognizer, STREAMS, ORT, quantizer, Unreadable(), journal, "another key").logits("rgb", sites)


def test_a_damaged_journal_is_started_anew(recognizer, quantizer, clips, tmp_path):
    journal = tmp_path / "trials.npz"
    journal.write_bytes(b"PK\x03\x04 and no more")
    assert Trials(recognizer, STREAMS, ORT, quantizer, clips, journal, "key").reference("pose").shape == (len(clips), 6)
