"""The pieces of a benchmark that need no network: stability, likeness, folding of profiles, throughput, work."""

import json
from dataclasses import replace

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support.documents import bench_row, eval_json
from support.present import present

from x3ddeploy.benchmarking.accuracy import known_accuracy
from x3ddeploy.benchmarking.ceilings import Ceilings
from x3ddeploy.benchmarking.compare import differences
from x3ddeploy.benchmarking.competitor import Absent, Competitor, Memory, OpenedNetwork
from x3ddeploy.benchmarking.document import BenchRow
from x3ddeploy.benchmarking.resources import parse_state
from x3ddeploy.benchmarking.throughput import measure_throughput
from x3ddeploy.benchmarking.work import floor_of, work_of
from x3ddeploy.bundle import Bundle
from x3ddeploy.runtimes.base import FallbackError
from x3ddeploy.timing.measure import is_stable, window_cv
from x3ddeploy.timing.place import Place, Places
from x3ddeploy.timing.profile import fold, onnxruntime_runs


@pytest.fixture(scope="module")
def places(bundle):
    return Places(onnx.load(bundle / "recognizer.onnx"))


def test_a_measurement_is_stable_when_the_medians_of_its_last_windows_agree():
    assert window_cv([1.0] * 14) is None
    assert is_stable([1.0] * 15)
    assert is_stable([9.0] * 30 + [1.0, 1.01, 0.99, 1.0, 50.0] * 6)
    assert not is_stable([float(value) for value in range(100, 160)])


def test_rows_are_unlike_by_extent_precision_scope_and_batch_and_alike_by_channels():
    row = msgspec.convert(bench_row("torch/eager", [1.0]), BenchRow)

    def other(**changes):
        return differences(row, msgspec.structs.replace(row, **changes))

    assert other(shapes={"imgs": [1, 4, 16, 224, 224]}) == []
    assert other(shapes={"imgs": [1, 3, 16, 112, 224]}) == [
        "imgs of 16 frames of 224 x 224 against 16 frames of 112 x 224"
    ]
    assert other(shapes={"video": [1, 3, 16, 224, 224]}) == [
        "only one of them takes imgs",
        "only one of them takes video",
    ]
    assert other(scope="pipeline", batch=2) == [
        "scope compute against pipeline",
        "batch 1 against 2",
    ]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("rgb_backbone/layer2.0/conv1/Conv", Place("rgb_backbone", "layer2", "layer2.0", "pointwise")),
        ("rgb_backbone/layer2.0/conv1/Conv_nchwc_3", Place("rgb_backbone", "layer2", "layer2.0", "pointwise")),
        ("rgb_backbone/layer2.0/swish/QuickGelu", Place("rgb_backbone", "layer2", "layer2.0", "activation")),
        ("pose_backbone/layer1.1/conv2/Conv", Place("pose_backbone", "layer1", "layer1.1", "depthwise")),
        ("rgb_backbone/layer1.0/se_module/fc1", Place("rgb_backbone", "layer1", "layer1.0", "squeeze-excitation")),
        ("rgb_backbone/layer1.0/Add", Place("rgb_backbone", "layer1", "layer1.0", "residual")),
        ("pose_backbone/conv1_s/Conv", Place("pose_backbone", "conv1_s", "conv1_s", "stem")),
        ("pose_backbone/clips/Transpose", Place("pose_backbone", "conv5", "conv5", "layout")),
        ("head/rgb/fc_rgb", Place("head", "head", "head", "head")),
        ("ReorderOutput_token_3", None),
    ],
)
def test_a_node_is_placed_by_the_blocks_that_its_graph_records(places, name, place):
    assert places.of(name) == place


def test_of_graphs_of_others_kinds_alone_are_known(bundle):
    model = onnx.load(bundle / "head.onnx")
    del model.metadata_props[:]
    assert Places(model).of("head/rgb/fc_rgb") == Place("", "", "", "classifier")


def test_folding_sums_within_a_run_and_takes_the_median_over_runs(places):
    conv, reorder = "rgb_backbone/layer1.0/conv1/Conv", "ReorderOutput_token_1"
    runs = [[(conv, time_ms), (conv, 1.0), (reorder, 0.5)] for time_ms in (1.0, 100.0, 3.0)]
    blocks = {block.kind: block for block in fold(runs, places)}
    assert blocks["pointwise"].time_ms == 4.0
    assert (blocks["layout"].time_ms, blocks["layout"].block) == (0.5, "layer1.0")


def test_onnxruntimes_profile_is_split_into_runs():
    def kernel(name, dur):
        return {"cat": "Node", "name": f"{name}_kernel_time", "dur": dur}

    run = {"cat": "Session", "name": "model_run", "dur": 9}
    other = {"cat": "Node", "name": "a_fence_before", "dur": 1}
    events = [kernel("a", 1500), other, kernel("b", 500), run, kernel("a", 2000), run]
    assert onnxruntime_runs(events) == [[("a", 1.5), ("b", 0.5)], [("a", 2.0)]]


def test_a_line_of_nvidia_smi_is_read_and_what_it_does_not_tell_is_none():
    state = parse_state("NVIDIA H200, 570.1, 512, 143771, 1980, 1980, 120.5, [N/A], 31\n")
    assert state is not None
    assert (state.name, state.clock_mhz, state.power_w, state.power_limit_w) == ("NVIDIA H200", 1980, 120.5, None)
    assert parse_state("No devices were found") is None


class Session:
    """A session of ONNX Runtime, with the providers that it really uses."""

    def __init__(self, *active):
        self.get_providers = lambda: list(active)


def test_a_session_that_fell_back_to_the_cpu_is_refused():
    gpu = pytest.importorskip("x3ddeploy.runtimes.onnxruntime_session")
    gpu.check_placement(Session("CUDAExecutionProvider", "CPUExecutionProvider"), "CUDAExecutionProvider")
    with pytest.raises(FallbackError, match="fell back to CPUExecutionProvider"):
        gpu.check_placement(Session("CPUExecutionProvider"), "CUDAExecutionProvider")


def test_accuracy_is_that_of_the_same_checkpoint_or_none(bundle, tmp_path):
    opened = replace(Bundle.open(bundle), path=tmp_path)
    assert known_accuracy(opened) == ({}, [])
    report = eval_json(opened.manifest.source.sha256, "fused 1:1", torch=0.9, onnxruntime=0.8)
    (tmp_path / "eval.json").write_text(json.dumps(report))
    assert {name: entry.top1 for name, entry in known_accuracy(opened)[0].items()} == {
        "torch/eager": 0.9,
        "onnxruntime/fp32": 0.8,
    }
    report["bundle"]["source"]["sha256"] = "0" * 64
    (tmp_path / "eval.json").write_text(json.dumps(report))
    assert known_accuracy(opened) == ({}, [Absent("accuracy", "eval.json is of another checkpoint")])
    for broken in ("", "{", "[]", "NaN"):
        (tmp_path / "eval.json").write_text(broken)
        accuracy, (unknown,) = known_accuracy(opened)
        assert accuracy == {}
        assert unknown.reason.startswith("eval.json cannot be read: ")


def competitor(name, infer):
    return Competitor(
        name, OpenedNetwork("n", "r", "1", "cpu", "fp32", {}, infer), Memory(None, None, None, None), None, 0.0
    )


def clips_of(batch):
    return {"clips": np.zeros(batch)}


def test_throughput_ends_before_its_time_and_says_what_was_left_out():
    now = [0.0]

    def infer(feeds):
        now[0] += len(feeds["clips"])

    measured = measure_throughput([competitor("a", infer)], clips_of, 30, clock=lambda: now[0])
    assert measured.samples_ms == {"a": {1: [1000.0] * 3, 2: [2000.0] * 3, 4: [4000.0] * 3}}
    assert [entry.name for entry in measured.absent] == [f"throughput at batch {batch}" for batch in (8, 16, 32)]


def test_who_refuses_a_batch_is_left_out_from_there_and_others_go_on():
    def fixed(feeds):
        if len(feeds["clips"]) > 1:
            raise RuntimeError("batch 1 only")

    measured = measure_throughput([competitor("fixed", fixed), competitor("any", lambda feeds: None)], clips_of, 1e9)
    assert list(measured.samples_ms["fixed"]) == [1]
    assert list(measured.samples_ms["any"]) == [1, 2, 4, 8, 16, 32]
    assert measured.absent[0].reason == "batch 1 only"


def one_convolution(batch):
    weight = helper.make_tensor("w", TensorProto.FLOAT, (8, 4, 1, 1), [0.0] * 32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], name="rgb_backbone/conv5/Conv")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (batch, 4, 10, 10))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (batch, 8, 10, 10))],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def test_a_graph_of_fixed_batch_has_the_same_floor_a_clip():
    ceilings = Ceilings("cpu", {"fp32": 1e9}, 1e12)
    work = [present(work_of(one_convolution(batch))) for batch in ("N", 1, 2)]
    floors = [present(floor_of(each, ceilings, "fp32", batch=4)) for each in work]
    assert [floor.arithmetic_ms for floor in floors] == [pytest.approx(2e3 * 4 * 3200 / 1e9)] * 3


def test_work_counts_multiply_adds_and_bytes_and_the_floor_is_the_larger_of_both():
    work = present(work_of(one_convolution("N")))
    assert work.multiply_adds == 8 * 4 * 100
    assert work.compulsory_bytes == work.traffic_bytes == 4 * (400 + 800 + 32)
    assert list(work.by_kind()) == ["stem"]
    slow_memory = Ceilings("cpu", {"fp32": 1e9, "int8": None}, 1e6)
    floor = present(floor_of(work, slow_memory, "fp32", batch=2))
    assert floor.arithmetic_ms == pytest.approx(2e3 * 2 * 3200 / 1e9)
    assert floor.total_ms == floor.memory_ms == pytest.approx(2 * 4928 / 1e3)
    assert floor_of(work, slow_memory, "int8", batch=1) is None
