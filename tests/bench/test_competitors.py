"""Who takes part: chosen by name, refused where it computes something else, absent with its reason."""

import shutil
from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch

from x3ddeploy.benchmarking.competitor import OpenedNetwork, Scope
from x3ddeploy.benchmarking.competitors import choose, of_executions, prepare
from x3ddeploy.benchmarking.computed_in import computed_in
from x3ddeploy.benchmarking.torch_forms import _channels_last
from x3ddeploy.benchmarking.workbench import Setting, Workbench
from x3ddeploy.bundle import Bundle, EngineEntry, add_engine
from x3ddeploy.bundle.engine_options import Batches, BuildOptions, Flavour
from x3ddeploy.engines.document import BuiltEntry, ComputesIn, EngineReport
from x3ddeploy.errors import BundleError, MissingRequirementError, UsageError
from x3ddeploy.runtimes.base import FallbackError
from x3ddeploy.tensorrt.place import plan_name
from x3ddeploy.terms import Precision

OPTIONS = BuildOptions(Flavour.TENSORRT, Precision.FP32, Batches(1, 1, 8))


@pytest.fixture
def bench(bundle):
    return Workbench(Bundle.open(bundle), Setting(batch=1, threads=1), lambda text: None)


def giving(bench, offset=0.0, **others):
    """A network that gives PyTorch's scores, off by so much of their range."""

    def loaded(_, name):
        scores = bench.expected + offset * np.abs(bench.expected).max()
        return replace(
            OpenedNetwork("a network", "runtime", "1", "cpu", "fp32", bench.inputs, lambda feeds: {"scores": scores}),
            **others,
        )

    return loaded


def test_a_group_a_pattern_and_a_name_choose():
    assert choose(["onnxruntime"], []) == [f"onnxruntime/{precision}" for precision in ("fp32", "fp16", "bf16", "int8")]
    without_engines = choose(["*/int8"], ["tensorrt*"])
    assert {"onnxruntime/int8", "onnxruntime-cuda/int8", "openvino/int8"} <= set(without_engines)
    assert not any(name.startswith("tensorrt") for name in without_engines)
    assert "torch/eager" not in choose([], ["torch"])
    assert "rgbposeconv3d/torch" in choose([], ["torch"])
    with pytest.raises(UsageError, match="torch/eagre"):
        choose([], ["torch/eagre"])


def test_the_same_network_is_ready_with_its_error_and_size(bench):
    (entry,), absent = prepare(bench, ["x"], [Scope.COMPUTE], giving(bench, 0.00099, graph=b"12345"))
    assert absent == []
    assert entry.relative_error == pytest.approx(0.00099, rel=0.01)
    assert entry.memory.file == 5
    assert set(entry.runs) == {Scope.COMPUTE}


@pytest.mark.parametrize(("offset", "told"), [(0.00101, "differs from PyTorch"), (np.nan, "NaN")], ids=["other", "nan"])
def test_a_float32_network_that_computes_something_else_has_failed(bench, offset, told):
    ready, (absent,) = prepare(bench, ["x"], [Scope.COMPUTE], giving(bench, offset))
    assert ready == []
    assert absent.failed
    assert told in absent.reason


def test_a_lower_precision_may_differ_and_says_by_how_much(bench):
    (entry,), _ = prepare(bench, ["x"], [Scope.COMPUTE], giving(bench, 0.01, precision="int8"))
    assert entry.relative_error == pytest.approx(0.01, rel=0.1)


def test_what_is_missing_or_refused_is_absent_and_has_not_failed(bench):
    def loaded(_, name):
        if name == "missing":
            raise MissingRequirementError("it is not installed", hint="pip install it")
        raise RuntimeError("unsupported operator\nand a long trace")

    ready, absent = prepare(bench, ["missing", "refused"], [Scope.COMPUTE], loaded)
    assert ready == []
    assert not any(entry.failed for entry in absent)
    assert [entry.reason for entry in absent] == [
        "it is not installed (pip install it)",
        "the runtime refuses it: unsupported operator",
    ]


@pytest.fixture
def with_engine(bundle, tmp_path):
    """The bundle with a plan of its head, and beside it the report that is given."""
    path = shutil.copytree(bundle, tmp_path / "deploy")
    graph = Bundle.open(path).manifest.files["head.onnx"].sha256
    entry = EngineEntry("head", graph, "10.1", "NVIDIA H100", ("9.0",), "580", OPTIONS)
    return lambda report: add_engine(path, plan_name(entry), entry, b"plan", report)


def competitor(opened):
    opened_bench = Workbench(opened, Setting(batch=1, threads=1), lambda text: None)
    loaded = giving(opened_bench, version="10.1", is_ours=True, engine_bytes=4)
    return prepare(opened_bench, ["tensorrt/fp32"], [Scope.COMPUTE], loaded)[0]


def test_an_engine_computes_in_what_its_report_says(with_engine):
    layers = ComputesIn("parsed network", True, (), 2, None, {"fp32": 2, "int8": 0})
    opened = with_engine(b"{}")
    (name, entry), *_ = opened.manifest.engines.items()
    built = BuiltEntry("10.1", 1.0, 4, layers, (), ())
    report = EngineReport(1, "1", "", "", name, entry, built, check=None, unproven=())
    opened = add_engine(opened.path, name, entry, b"plan", msgspec.json.encode(report))
    assert computed_in(opened, competitor(opened)) == {"tensorrt/fp32": {"fp32": 2}}


def test_a_report_that_is_none_is_named(with_engine):
    opened = with_engine(b"{}")
    with pytest.raises(BundleError, match=r"head\.fp32\.json: Object missing"):
        computed_in(opened, competitor(opened))


def test_a_gpu_has_copies_to_time_and_a_cpu_has_not(bench):
    scopes = [Scope.COMPUTE, Scope.WITH_COPIES]
    on_gpu = giving(bench, device="a GPU", resident=lambda: None)
    (entry,), _ = prepare(bench, ["x"], scopes, on_gpu)
    assert set(entry.runs) == set(scopes)
    (entry,), _ = prepare(bench, ["x"], scopes, giving(bench, device="a GPU"))
    assert set(entry.runs) == {Scope.WITH_COPIES}
    (entry,), _ = prepare(bench, ["x"], scopes, giving(bench))
    assert set(entry.runs) == {Scope.COMPUTE}


class Raw:
    """A session that gives scores off by so much of raw tensors of one person."""

    inputs = dict.fromkeys(("frames", "keypoints", "keypoint_scores"))

    def __init__(self, bench, offset=0.0):
        self._scores, self.fed = bench.expected + offset, []

    def run(self, feeds):
        self.fed.append(feeds)
        return {"scores": self._scores}


def test_the_pipeline_on_a_gpu_sends_frames_up_as_they_are(bench):
    raw = Raw(bench)
    (entry,), _ = prepare(
        bench, ["x"], [Scope.PIPELINE], giving(bench, device="a GPU", is_ours=True, open_raw=lambda: raw)
    )
    entry.runs[Scope.PIPELINE]()
    golden, fed = raw.fed
    assert set(golden) == set(fed) == set(Raw.inputs)
    assert (fed["frames"].dtype, fed["frames"].shape) == (np.uint8, golden["frames"].shape)
    assert entry.pipeline_note == ""


def test_a_gpu_that_prepares_something_else_has_failed(bench):
    others = {"device": "a GPU", "is_ours": True, "open_raw": lambda: Raw(bench, 0.1)}
    ready, (absent,) = prepare(bench, ["x"], [Scope.PIPELINE], giving(bench, **others))
    assert ready == []
    assert "x, prepared on the device differs from PyTorch" in absent.reason
    assert absent.failed


@pytest.mark.parametrize("kind", [BundleError, FallbackError])
def test_a_gpu_without_preprocessing_is_fed_by_the_host_and_says_so(bench, kind):
    def missing():
        raise kind("no engine of preprocess_rgb", hint="build it")

    fed = []

    def infer(feeds):
        fed.append(feeds)
        return {"scores": bench.expected}

    others = {"device": "a GPU", "is_ours": True, "open_raw": missing, "infer": infer}
    (entry,), _ = prepare(bench, ["x"], [Scope.PIPELINE], giving(bench, **others))
    entry.runs[Scope.PIPELINE]()
    assert set(fed[-1]) == set(bench.inputs)
    assert entry.pipeline_note == "clips are prepared on the CPU: no engine of preprocess_rgb (build it)"


def test_channels_last_is_for_weights_of_images_as_of_volumes():
    images, volumes = torch.nn.Conv2d(3, 8, 3), torch.nn.Conv3d(3, 8, 3)
    assert _channels_last(torch.nn.Sequential(images, torch.nn.Linear(2, 2))) is torch.contiguous_format
    assert images.weight.is_contiguous(memory_format=torch.channels_last)
    assert _channels_last(torch.nn.Sequential(images, volumes)) is torch.channels_last_3d
    assert volumes.weight.is_contiguous(memory_format=torch.channels_last_3d)


def test_every_verbs_words_choose_a_bundles_own_forms():
    assert of_executions(["openvino"], None, ["int8", "fp32"]) == ["openvino/int8", "openvino/fp32"]
    assert of_executions(["torch", "onnxruntime"], None, ["fp32", "bf16"]) == ["torch", "onnxruntime/fp32"]
    assert of_executions([], "npu", ["fp16"]) == ["openvino-npu/fp16"]
    assert set(of_executions([], None, ["int8"])) >= {"onnxruntime/int8", "openvino/int8", "tensorrt/int8"}
    with pytest.raises(UsageError, match="do not compute in bf16"):
        of_executions(["onnxruntime"], "cpu", ["bf16"])
    with pytest.raises(UsageError, match="no runtime has a device 'tpu'"):
        of_executions([], "tpu", [])
    with pytest.raises(MissingRequirementError, match="CUDAExecutionProvider"):
        of_executions(["onnxruntime"], "cuda", [])
