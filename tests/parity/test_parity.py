"""Parity: what counts as equal, and where a wrong graph is caught."""

import copy
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from support.parts import PARTS

from x3ddeploy.errors import GateError
from x3ddeploy.exporting.parts import build_parts
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.parity.blocks import compare_blocks, first_diverging
from x3ddeploy.parity.compare import cases, compare_parts, failures
from x3ddeploy.parity.gates import Float32Gate
from x3ddeploy.parity.metrics import compare
from x3ddeploy.parity.reference import Reference, _quicker, run_network
from x3ddeploy.runtimes.registry import open_session


@pytest.fixture(scope="module")
def parts(tiny_network):
    return build_parts(tiny_network, "tensorrt", None, "0" * 64)


@pytest.fixture(scope="module")
def reference(tiny_network):
    known = Reference(tiny_network)
    for case in cases(clip_inputs(tiny_network.spec), None):
        known.outputs(case.inputs)
    return known


@pytest.fixture(scope="module")
def gate(reference):
    return Float32Gate(reference.rounding)


@pytest.fixture(scope="module")
def compared(tiny_network, reference):
    """Function: every part of the tiny network against PyTorch on all cases."""

    def run(parts):
        sessions = {part: open_session("onnxruntime", parts[part].SerializeToString()) for part in PARTS}
        return compare_parts(reference, tiny_network.contract(), sessions)

    return run


def edited(model, name, edit):
    model = copy.deepcopy(model)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    tensor.CopyFrom(numpy_helper.from_array(edit(numpy_helper.to_array(tensor).copy()), name))
    return model


def test_the_reference_is_the_training_form_in_float64(tiny_network, reference):
    exact = copy.deepcopy(tiny_network).double()
    inputs = next(case.inputs for case in cases(clip_inputs(tiny_network.spec), None) if case.batch == 3)
    expected = run_network(exact, {name: value.astype(np.float64) for name, value in inputs.items()})
    for name, value in reference.outputs(inputs).items():
        assert compare(expected[name], value).relative < 1e-12, name


def test_the_reference_leaves_pytorchs_threads_as_they_were(tiny_network):
    def told():
        with ThreadPoolExecutor(1) as pool:  # what a thread that starts later gets
            return torch.get_num_threads(), pool.submit(torch.get_num_threads).result()

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        inputs = next(case.inputs for case in cases(clip_inputs(tiny_network.spec), None) if case.batch == 3)
        Reference(tiny_network).outputs(inputs)
        assert told() == (3, 3)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("conv", "is_quicker"),
    [
        (torch.nn.Conv3d(4, 6, (1, 3, 5), stride=(1, 2, 3), padding=(0, 1, 2), groups=2), True),
        (torch.nn.Conv3d(4, 4, (1, 3, 3), dilation=(1, 2, 1), bias=False, groups=4), True),
        (torch.nn.Conv3d(4, 4, (3, 2, 3), stride=(2, 1, 3), padding=(2, 0, 1), groups=4), True),
        (torch.nn.Conv3d(4, 6, 1), True),
        (torch.nn.Conv3d(4, 6, 1, groups=2, bias=False), True),
        (torch.nn.Conv3d(4, 6, 1, bias=False), True),
        (torch.nn.Conv3d(4, 6, (3, 1, 1), padding=(1, 0, 0)), False),
        (torch.nn.Conv3d(4, 6, 1, stride=2), False),
        (torch.nn.Conv3d(4, 6, 1, padding=1), False),
        (torch.nn.Conv3d(4, 6, (1, 3, 3), padding=(0, 1, 1), padding_mode="replicate"), False),
        (torch.nn.Conv3d(4, 6, (1, 3, 3), padding="same"), False),
    ],
    ids=str,
)
def test_a_convolution_of_one_frame_is_that_of_each_frame(conv, is_quicker):
    other, clips = _quicker(conv), torch.randn(2, 4, 5, 9, 11)
    assert (other is not conv) == is_quicker
    with torch.inference_mode():  # as the reference runs
        assert torch.allclose(other(clips), conv(clips), atol=1e-5)


def test_metrics_of_equal_zero_and_broken_tensors():
    ones, zeros = np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)
    same = compare(ones, ones)
    assert (same.max_abs, same.relative, same.top1_agreement, same.finite) == (0, 0, 1, True)
    assert same.cosine == pytest.approx(1)
    assert compare(zeros, zeros).within(1e-9)
    assert not compare(zeros, ones).within(1e9)
    for bad in (np.nan, np.inf, -np.inf):
        broken = ones.copy()
        broken[1, 2] = bad
        difference = compare(ones, broken)
        assert not difference.finite
        assert not difference.within(math.inf)
    with pytest.raises(GateError, match="shape"):
        compare(ones, ones[:1])


def test_metrics_measure_what_they_say():
    reference, actual = np.array([[1.0, -4.0], [2.0, 3.0]]), np.array([[1.0, -3.9], [3.1, 3.0]])
    difference = compare(reference, actual)
    assert difference.max_abs == pytest.approx(1.1)
    assert difference.mean_abs == pytest.approx(0.3)
    assert difference.relative == pytest.approx(1.1 / 4)
    assert difference.top1_agreement == 0.5


def test_cases_cover_both_batch_sizes_and_both_ends_of_a_clip(tiny_network):
    made = list(cases(clip_inputs(tiny_network.spec), None))
    assert {case.batch for case in made} == {1, 3}
    impulses = [case for case in made if "impulse" in case.name]
    lit = {(case.batch, *np.argwhere(case.inputs["imgs"])[0][[0, 2]]) for case in impulses}
    assert lit == {(1, 0, 0), (1, 0, 3), (3, 1, 0), (3, 1, 3)}


def test_a_right_graph_passes_everywhere(parts, compared, gate):
    rows = compared(parts)
    assert len(rows) == 6 * (1 + 1 + 5 + 5)
    assert failures(rows, gate) == []


@pytest.mark.parametrize(
    ("weight", "block"),
    [
        ("rgb_backbone.layer2.1.conv1.bias", "rgb_backbone/layer2.1"),
        ("rgb_backbone.layer1.0.se_module.fc2.weight", "rgb_backbone/layer1.0"),
        ("pose_backbone.conv1_s.weight", "pose_backbone/conv1_s"),
        ("pose_backbone.conv5.bias", "pose_backbone/conv5"),
    ],
)
def test_one_wrong_weight_is_caught_and_its_block_named(tiny_network, parts, compared, gate, weight, block):
    part = weight.partition(".")[0]
    wrong = edited(parts[part], weight, lambda value: value + np.float32(0.1))
    rows = compared({**parts, part: wrong})
    assert {row.part for row in failures(rows, gate)} == {part}
    case = next(cases(clip_inputs(tiny_network.spec), None))
    inputs = {name: case.inputs[name] for name in tiny_network.contract().parts[part].inputs}
    blocks = compare_blocks(tiny_network, part, wrong.SerializeToString(), "onnxruntime", inputs)
    assert first_diverging(blocks) == block


def test_a_shift_in_the_wrong_direction_is_caught(parts, compared, gate):
    wrong = copy.deepcopy(parts["rgb_backbone"])
    concat = next(node for node in wrong.graph.node if node.name == "rgb_backbone/layer1.1/shift/Concat")
    concat.input[0], concat.input[1] = concat.input[1], concat.input[0]
    assert failures(compared({**parts, "rgb_backbone": wrong}), gate)


def test_a_clip_border_that_is_not_zero_is_caught(parts, compared, gate):
    wrong = copy.deepcopy(parts["rgb_backbone"])
    for node in wrong.graph.node:
        if node.name.endswith("shift/after_last"):
            node.attribute.append(onnx.helper.make_attribute("mode", "edge"))
    assert failures(compared({**parts, "rgb_backbone": wrong}), gate)


def test_nan_is_a_failure(parts, compared):
    wrong = edited(parts["head"], "cls_head.fc_rgb.bias", lambda value: value * np.float32(np.nan))
    failed = failures(compared({**parts, "head": wrong}), Float32Gate({}, 1e9))
    assert {row.output for row in failed} == {"rgb_logits", "scores"}


def test_blocks_of_both_backbones_are_compared_in_order(tiny_network, parts):
    case = next(cases(clip_inputs(tiny_network.spec), None))
    for part in ("rgb_backbone", "pose_backbone"):
        inputs = {name: case.inputs[name] for name in tiny_network.contract().parts[part].inputs}
        rows = compare_blocks(tiny_network, part, parts[part].SerializeToString(), "onnxruntime", inputs)
        stages = getattr(tiny_network, part).spec.stages
        blocks = [f"layer{s}.{b}" for s, stage in enumerate(stages, 1) for b in range(stage.blocks)]
        assert [row.block for row in rows] == [f"{part}/{name}" for name in ("conv1_s", *blocks, "conv5")]
        assert first_diverging(rows) is None


def test_the_reference_knows_its_own_rounding(reference):
    outputs = ("rgb_logits", "pose_logits", "rgb_coarse_logits", "pose_coarse_logits", "scores")
    assert set(reference.rounding) == {
        "rgb_backbone -> rgb_feat",
        "pose_backbone -> pose_feat",
        *(f"{part} -> {name}" for part in ("head", "recognizer") for name in outputs),
    }
    assert all(1e-9 < rounding < 1e-5 for rounding in reference.rounding.values())


def test_a_batch_is_its_clips_one_by_one_and_in_float64(tiny_network, reference):
    clips = next(case for case in cases(clip_inputs(tiny_network.spec), None) if case.batch == 3).inputs
    outputs = reference.outputs(clips)
    exact = run_network(copy.deepcopy(tiny_network).double(), {n: v.astype(np.float64) for n, v in clips.items()})
    for name, value in outputs.items():
        assert value.dtype == np.float64
        assert compare(exact[name], value).relative < 1e-12
