"""`x3ddeploy build-trt` as a user meets it: without a GPU, with TensorRT-RTX for GPUs elsewhere, with a (fake) GPU."""

import importlib.util
import json
import os
import shutil
import tempfile
from dataclasses import replace

import msgspec
import onnx
import pytest
from support.documents import of_its_type
from support.fake_machines import Machines
from support.parts import PARTS

from x3ddeploy.bundle import Bundle, PrecisionEntry, add_precision
from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.exporting.parts import serialize
from x3ddeploy.parity.golden import load_golden
from x3ddeploy.precision.golden import with_golden
from x3ddeploy.precision.half import float32_nodes, to_half
from x3ddeploy.runtimes.registry import Execution
from x3ddeploy.terms import Precision

# TensorRT-RTX cannot be asked on a Mac, say; where it is installed, it is the gate for every graph.
needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None,
    reason="TensorRT-RTX is not installed (pip install 'x3ddeploy[tensorrt-rtx]')",
)


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """Environments of machines by name: what a started Python finds there."""
    return Machines(tmp_path_factory.mktemp("machines"))


@pytest.fixture(scope="module")
def quantized(bundle, tmp_path_factory):
    """A bundle with FP16, INT8 and, where something computes them, BF16 graphs.

    The ranges are made up: what counts is the graphs' form.
    """
    from x3ddeploy.calibration.ranges import Range
    from x3ddeploy.precision.sites import find_sites
    from x3ddeploy.precision.targets import target_named
    from x3ddeploy.precision.trials import Quantizer

    path = shutil.copytree(bundle, tmp_path_factory.mktemp("quantized") / "deploy")
    parts = {part: onnx.load(path / f"{part}.onnx") for part in PARTS}
    ranges = {site.source: Range(-6.0, 6.0) for site in find_sites(parts["recognizer"])}
    quantizer = Quantizer(target_named("tensorrt"), ranges)
    sites = {site.node for site in quantizer.eligible(parts["recognizer"])}
    made = {
        "fp16": {part: to_half(graph, Precision.FP16, float32_nodes(graph)) for part, graph in parts.items()},
        "int8": {part: quantizer.quantize(graph, sites) for part, graph in parts.items()},
    }
    if importlib.util.find_spec("openvino"):
        made["bf16"] = {part: to_half(graph, Precision.BF16, float32_nodes(graph)) for part, graph in parts.items()}
    opened = Bundle.open(path)
    clip = {name: load_golden(opened)[name] for name in opened.contract.inputs}
    for precision, graphs in made.items():
        for part, graph in graphs.items():
            replace(PartMetadata.of(parts[part]), precision=precision).stamped(graph)
        files = {f"{part}.onnx": serialize(graph) for part, graph in graphs.items()}
        runtime = "openvino" if precision == "bf16" else "onnxruntime"
        golden = with_golden(graphs, precision, Execution(runtime, "cpu", Precision(precision)), clip)
        files["report.json"] = msgspec.json.encode({"rounding": golden.rounding})
        is_int8 = precision == "int8"
        entry = PrecisionEntry("calib/made_up.json" if is_int8 else None, is_int8, {}, None, {}, golden.rounding)
        ranges_file = b"{}" if is_int8 else b""
        opened = add_precision(opened, precision, files, golden.golden_files(), entry, ranges_file)
    return path


@pytest.fixture
def start(run, monkeypatch):
    """Function: the command in this process, on a machine that is played to the processes that it starts."""

    def on(*arguments, env):
        with monkeypatch.context() as patch:
            patch.setattr(tempfile, "tempdir", None)  # it is read from the environment again
            patch.syspath_prepend(env["PYTHONPATH"].split(os.pathsep)[0])
            for name, value in env.items():
                patch.setenv(name, value)
            return run(*arguments)

    return on


@pytest.fixture
def copied(quantized, tmp_path):
    return shutil.copytree(quantized, tmp_path / "deploy")


def contents(path):
    return {file: file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


# --- machines that cannot --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [(), ("--fp16",), ("--int8",), ("--rtx",)], ids=" ".join)
def test_without_a_gpu_it_exits_4_and_touches_nothing(start, copied, machine, flags):
    before = contents(copied)
    process = start("build-trt", copied, *flags, env=machine("no gpu"))
    assert process.returncode == 4
    assert "no NVIDIA driver" in process.stderr
    assert "--rtx --compute-capability" in process.stderr
    assert process.stdout == ""
    assert contents(copied) == before


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        ("altered", 1, "head.onnx"),
        ("no clips", 2, "--calib PATH"),
        ("clips for float16", 2, "go with --int8"),
        ("shapes", 2, "fixed at export"),
        ("no bundle", 1, "does not exist"),
    ],
)
def test_without_a_gpu_what_is_wrong_with_the_bundle_is_said_first(
    copied, bundle, run, monkeypatch, fault, code, message
):
    """Whoever has no GPU at hand learns here what would fail where there is one."""
    monkeypatch.setattr(
        "x3ddeploy.engines.machine.run_probe", lambda *arguments: pytest.fail("asked the machine first")
    )
    if fault == "altered":
        (copied / "head.onnx").write_bytes(b"")
    where = {"no clips": bundle, "no bundle": copied / "engines"}.get(fault, copied)
    words = {
        "no clips": ("--int8",),
        "clips for float16": ("--fp16", "--calib", "x"),
        "shapes": ("--max-shapes", "imgs:1"),
    }
    process = run("build-trt", where, *words.get(fault, ()))
    assert (process.returncode, "Traceback" in process.stderr) == (code, False), process.stderr
    assert message in process.stderr


def test_without_tensorrt_it_exits_4_and_says_what_to_install(start, copied, machine):
    if importlib.util.find_spec("tensorrt"):
        pytest.skip("TensorRT is installed")
    before = contents(copied)
    process = start("build-trt", copied, env=machine("no tensorrt"))
    assert process.returncode == 4
    assert "TensorRT is not installed" in process.stderr
    assert "pip install --extra-index-url https://pypi.nvidia.com 'x3ddeploy[tensorrt]'" in process.stderr
    assert contents(copied) == before


def test_a_tensorrt_that_does_not_import_exits_4(start, copied, machine):
    process = start("build-trt", copied, env=machine("with tensorrt", FAKE_FAULT="broken"))
    assert process.returncode == 4
    assert "libnvinfer.so.11" in process.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--fp16", "--int8"), "--fp16 and --int8 are two sets of engines"),
        (("--bf16", "--int8"), "--bf16 and --int8 are two sets of engines"),
        (("--parts", "neck"), "no part named 'neck'"),
        (("--compute-capability", "8.9"), "goes with --rtx"),
        (("--rtx", "--compute-capability", "eight"), "not of the form 8.9,12.0"),
        (("--max-shapes", "imgs:1"), "fixed at export"),
        (("--int8", "--calib", "clips", "--calib-random"), "does not go with --calib"),
        (("--fp16", "--calib", "clips"), "go with --int8"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(start, copied, machine, arguments, message):
    process = start("build-trt", copied, *arguments, env=machine("with tensorrt"))
    assert process.returncode == 2
    assert message in process.stderr


# --- TensorRT-RTX itself ---------------------------------------------------------------------------------------------


@needs_rtx
@pytest.mark.parametrize("precision", ["fp32", "fp16", pytest.param("bf16", marks=pytest.mark.openvino), "int8"])
def test_tensorrt_rtx_takes_every_part_in_every_precision(start, copied, machine, precision):
    """With graphs of preprocessing, which are float32 whatever is asked for: they are built once here."""
    flags = [] if precision == "fp32" else [f"--{precision}"]
    graphs = PARTS if precision != "fp16" else (*PARTS, "preprocess_rgb", "preprocess_pose")
    flags += [] if precision == "fp16" else ["--parts", ",".join(PARTS)]
    arguments = ("--rtx", "--compute-capability", "8.9,12.0", "--builder-optimization-level", "0")
    process = start("build-trt", copied, *flags, *arguments, "--json", env=machine("no gpu"))
    assert process.returncode == 0, process.stderr
    report = of_its_type("build-trt", process.stdout)
    manifest = Bundle.open(copied).manifest
    assert [made["entry"]["part"] for made in report["engines"]] == list(graphs)
    assert {made["name"] for made in report["engines"]} == set(manifest.engines)
    prepared = [made for made in report["engines"] if made["entry"]["part"] not in PARTS]
    assert {made["entry"]["options"]["precision"] for made in prepared} == ({"fp32"} if prepared else set())
    for made in report["engines"]:
        counts = made["built"]["precision"]["counts"]
        assert set(counts) <= ({"int8", "fp16"} if precision == "int8" else {precision})
        assert made["check"] is None
        assert any("parity with PyTorch is not proven" in line for line in made["unproven"])
        assert (copied / made["name"]).stat().st_size == made["built"]["size_bytes"]
        beside = of_its_type("engine-report", (copied / made["name"]).with_suffix(".json").read_text())
        assert beside["command"].startswith("x3ddeploy build-trt")
    assert Bundle.open(copied).altered_files() == []
    if precision == "int8":
        assert any("made-up clips" in line for line in report["engines"][0]["unproven"])


@needs_rtx
def test_tensorrt_rtx_refuses_gpus_that_it_does_not_know(start, copied, machine):
    process = start("build-trt", copied, "--rtx", "--compute-capability", "9.0", env=machine("no gpu"))
    assert process.returncode == 2
    assert "it builds for" in process.stderr


@needs_rtx
def test_a_graph_that_tensorrt_refuses_is_an_error_with_its_reason(start, copied, machine):
    file = copied / "fp16" / "head.onnx"
    model = onnx.load(file)
    model.graph.node[0].op_type, model.graph.node[0].domain = "Unheard", "nowhere"
    model.opset_import.append(onnx.helper.make_opsetid("nowhere", 1))
    file.write_bytes(serialize(model))
    opened = Bundle.open(copied)
    add_precision(
        opened,
        "fp16",
        {name: (copied / "fp16" / name).read_bytes() for name in (*(f"{part}.onnx" for part in PARTS), "report.json")},
        {file.name: file.read_bytes() for file in (copied / "golden" / "fp16").iterdir()},
        opened.manifest.precisions["fp16"],
    )
    process = start(
        "build-trt", copied, "--fp16", "--rtx", "--compute-capability", "8.9", "--parts", "head", env=machine("no gpu")
    )
    assert process.returncode == 1
    assert "refuses the graph" in process.stderr
    assert "Unheard" in process.stderr
    assert not (copied / "engines").exists()


# --- a GPU that is played --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "parts"), [("8.6", "head"), ("10", "head,preprocess_pose"), ("11", "rgb_backbone,pose_backbone,head")]
)
def test_engines_are_built_proven_and_registered(start, copied, machine, shape, parts):
    process = start("build-trt", copied, "--parts", parts, "--json", env=machine("with tensorrt", FAKE_SHAPE=shape))
    assert process.returncode == 0, process.stderr
    report = of_its_type("build-trt", process.stdout)
    assert [made["entry"]["part"] for made in report["engines"]] == parts.split(",")
    proof = "engine inspector" if shape == "8.6" else "parsed network"
    assert {made["built"]["precision"]["source"] for made in report["engines"]} == {proof}
    assert all(made["built"]["precision"]["engine_layers"] for made in report["engines"])
    own = ["EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS"]
    assert all(made["built"]["tactic_sources"] == own for made in report["engines"])
    assert all(made["check"]["rows"] for made in report["engines"])
    assert bool(report["together"]) == parts.startswith("rgb_backbone,pose_backbone,head")
    manifest = Bundle.open(copied).manifest
    for plan in manifest.engines:
        of_its_type("engine-report", (copied / plan).with_suffix(".json").read_text())
    entry = next(iter(manifest.engines.values()))
    assert (entry.gpu, entry.compute_capabilities, entry.driver) == ("Fake GPU", ("9.0",), "580.1")
    assert all(name.startswith("engines/fake-gpu-sm90-trt") for name in manifest.engines)
    assert Bundle.open(copied).altered_files() == []
    assert (copied / next(iter(manifest.engines))).parent.joinpath("timing.cache").exists()


def test_building_takes_no_pytorch(spawn, copied, machine):
    environment = machine("with tensorrt", FAKE_SHAPE="8.6", MISSING="torch,polygraphy,openvino,mmaction,jinja2")
    process = spawn("build-trt", copied, "--fp16", "--parts", "head", "--json", env=environment)
    assert process.returncode == 0, process.stderr
    (made,) = json.loads(process.stdout)["engines"]
    assert made["check"]["rows"]
    assert any("random clips and impulses were not compared" in line for line in made["unproven"])


def test_the_table_names_precision_reformats_and_error(start, copied, machine):
    process = start("build-trt", copied, "--int8", "--parts", "rgb_backbone", env=machine("with tensorrt"))
    assert process.returncode == 0, process.stderr
    row = next(line for line in process.stdout.splitlines() if line.startswith("rgb_backbone"))
    assert "12 fp16, 13 int8" in row
    assert "parsed network" in row
    assert "a depthwise convolution" in process.stdout
    assert "NOT proven: accuracy: the INT8 ranges are of made-up clips" in process.stdout


def test_an_engine_that_ignores_the_precision_is_not_kept(start, copied, machine):
    before = contents(copied)
    weakly_typed = machine("with tensorrt", FAKE_SHAPE="8.6", FAKE_FAULT="ignores precision")
    process = start("build-trt", copied, "--fp16", env=weakly_typed)
    assert process.returncode == 3
    assert "not what was asked for" in process.stderr
    assert {file.name for file in contents(copied).keys() - before.keys()} <= {"timing.cache"}
    assert Bundle.open(copied).manifest.engines == {}


def test_an_engine_that_computes_something_else_is_not_kept_and_its_block_is_named(start, copied, machine):
    process = start("build-trt", copied, "--parts", "rgb_backbone", env=machine("with tensorrt", FAKE_FAULT="wrong"))
    assert process.returncode == 3
    assert "comparisons with golden outputs and PyTorch fail" in process.stderr
    assert "first diverging block: rgb_backbone/conv1_s" in process.stderr
    assert Bundle.open(copied).manifest.engines == {}


def test_a_file_that_is_no_timing_cache_is_not_replaced(start, copied, machine, tmp_path):
    mine = tmp_path / "thesis.txt"
    mine.write_bytes(b"garbage to TensorRT")
    process = start("build-trt", copied, "--parts", "head", "--timing-cache", mine, env=machine("with tensorrt"))
    assert process.returncode == 1
    assert "what shall be the timing cache" in process.stderr
    assert mine.read_bytes() == b"garbage to TensorRT"
    assert Bundle.open(copied).manifest.engines == {}


def test_a_crash_of_tensorrt_is_an_error_with_its_log(start, copied, machine, tmp_path):
    before = contents(copied)
    variables = machine("with tensorrt", FAKE_FAULT="crash", TMPDIR=str(tmp_path))
    process = start("build-trt", copied, env=variables)
    assert process.returncode == 1
    assert "building rgb_backbone.fp32 crashed with SIGSEGV" in process.stderr
    assert "CUDA out of memory" in process.stderr
    assert "Traceback" not in process.stderr
    assert contents(copied) == before
    assert not (copied / "engines").exists()


def test_a_bundle_for_another_runtime_is_refused(start, run, checkpoint, tmp_path, machine):
    other = tmp_path / "other"
    assert run("export", checkpoint, "-o", other, "--target", "openvino").returncode == 0
    process = start("build-trt", other, env=machine("with tensorrt"))
    assert process.returncode == 2
    assert "--target tensorrt" in process.stderr


def test_an_altered_bundle_is_refused(start, copied, machine):
    (copied / "head.onnx").write_bytes(b"")
    process = start("build-trt", copied, env=machine("with tensorrt"))
    assert process.returncode == 1
    assert "head.onnx" in process.stderr


def test_int8_without_graphs_and_clips_says_what_is_missing(start, bundle, machine, tmp_path):
    path = shutil.copytree(bundle, tmp_path / "plain")
    process = start("build-trt", path, "--int8", env=machine("with tensorrt"))
    assert process.returncode == 2
    assert "--calib PATH" in process.stderr
    assert not (path / "engines").exists()


def test_int8_graphs_are_made_first_in_the_form_that_this_tensorrt_reads(start, bundle, machine, tmp_path):
    path = shutil.copytree(bundle, tmp_path / "plain")
    environment = machine("with tensorrt", FAKE_SHAPE="8.6")
    process = start("build-trt", path, "--int8", "--calib-random", "--parts", "head", "--json", env=environment)
    assert process.returncode == 0, process.stderr
    (made,) = json.loads(process.stdout)["engines"]
    assert made["built"]["precision"]["counts"]["int8"] > 0
    assert any("made-up clips" in line for line in made["unproven"])
    assert onnx.load(path / "int8" / "head.onnx").opset_import[0].version == 17
    assert Bundle.open(path).manifest.precisions["int8"].random_calibration
    again = start("build-trt", path, "--int8", "--calib-random", "--parts", "head", env=environment)
    assert again.returncode == 0
    assert "the clips are not used" in again.stderr
