"""One module serves TensorRT 8.6, 10, 11 and RTX: each is asked what it can do, and told no more than it takes."""

import json
import re
from pathlib import Path

import pytest
from support.engine_graphs import PARTS, graphs
from support.fake_tensorrt import SHAPES, Module

import x3ddeploy
from x3ddeploy.bundle.engine_options import Batches, BuildOptions, Flavour, HardwareCompatibility
from x3ddeploy.tensorrt.engine import TensorRTError
from x3ddeploy.tensorrt.trt import TensorRT
from x3ddeploy.terms import Precision

ALL = list(SHAPES)
STRONG = [name for name in ALL if name != "8.6"]


def options(precision="fp16", **changes):
    return BuildOptions(Flavour.TENSORRT, Precision(precision), Batches(1, 2, 8), **changes)


def build(shape, precision="fp16", part="head", cache=None, log=None, progress=None, keep_cache=False, **changes):
    """Give the module that was told, the plan and the cache."""
    module = Module(SHAPES[shape])
    messages = [] if log is None else log
    tensorrt = TensorRT(module, Flavour.TENSORRT, lambda severity, text: messages.append((severity, text)))
    graph = graphs(precision, opset17=shape == "8.6")[part].SerializeToString()
    network, quiet = tensorrt.parse(graph), lambda text: None
    plan, content = network.build(options(precision, **changes), cache, progress or quiet, keep_cache=keep_cache)
    return module, plan, content


def config_of(shape, *arguments, **changes):
    return build(shape, *arguments, **changes)[0].configs[-1]


def test_features_are_those_of_each_version():
    features = {name: TensorRT(Module(SHAPES[name]), Flavour.TENSORRT, print).features for name in ALL}
    assert [features[name].strongly_typed for name in ALL] == [False, True, True, True]
    assert [features[name].explicit_batch_flag for name in ALL] == [True, True, False, False]
    assert [features[name].progress for name in ALL] == [False, True, True, True]
    assert features["11"].precision_flags == frozenset()
    assert features["rtx"].compute_capabilities == ("8.9", "12.0")
    assert features["10"].compute_capabilities == ()


def test_no_code_compares_versions():
    """A ladder of versions would be wrong for the next one."""
    code = Path(x3ddeploy.__file__).parent.joinpath("tensorrt", "trt.py").read_text()
    assert "version" in code
    assert not re.search(r"version(\.\w+\(\S*\))?\s*(<|>|==|\.startswith|\.split)", code)


def test_one_module_imports_tensorrt():
    package = Path(x3ddeploy.__file__).parent
    importing = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"^\s*(import|from) tensorrt|import_module\(\"tensorrt", path.read_text(), re.MULTILINE)
    ]
    assert importing == []  # tensorrt/trt.py imports by the flavour's name
    users = [path for path in package.rglob("*.py") if "import_module(flavour.value)" in path.read_text()]
    assert [path.name for path in users] == ["trt.py"]


@pytest.mark.parametrize("shape", ALL)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("part", PARTS)
def test_every_part_builds_in_every_shape(shape, precision, part):
    _, plan, _ = build(shape, precision, part)
    assert json.loads(plan)["graph"]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("shape", STRONG)
def test_strongly_typed_networks_get_no_precision_flag(shape, precision):
    assert config_of(shape, precision).flags == (["REQUIRE_USER_ALLOCATION"] if shape == "rtx" else [])


@pytest.mark.parametrize(("precision", "flags"), [("fp32", []), ("fp16", ["FP16"]), ("int8", ["FP16", "INT8"])])
def test_a_weakly_typed_network_is_allowed_its_precision(precision, flags):
    assert config_of("8.6", precision).flags == flags


@pytest.mark.parametrize("shape", ALL)
def test_float32_means_no_tf32(shape):
    assert "TF32" not in config_of(shape, "fp32").flags


def test_contexts_share_a_profile_where_that_has_to_be_asked_for():
    assert config_of("8.6").features["PROFILE_SHARING_0806"]
    assert config_of("10").features["PROFILE_SHARING_0806"]  # it is on, and asking for it again is refused


@pytest.mark.parametrize("kind", ["Builder", "Runtime"])
def test_a_builder_or_runtime_that_is_not_given_is_an_error(kind):
    module = Module(SHAPES["8.6"])
    plan = build("8.6")[1]

    def refuse(logger):
        raise TypeError("pybind11::init(): factory function returned nullptr")

    setattr(module, kind, refuse)
    tensorrt = TensorRT(module, Flavour.TENSORRT, lambda severity, text: None)
    with pytest.raises(TensorRTError, match=f"gives no {kind.lower()} here: pybind11"):
        tensorrt.parse(b"") if kind == "Builder" else tensorrt.load(plan, host_code=False)


@pytest.mark.parametrize("shape", ["8.6", "10"])
def test_tactics_of_other_libraries_are_not_used(shape):
    """cuBLAS and cuDNN need not be on the machine; TensorRT's own tactics stay."""
    config = config_of(shape)
    names = [source.name for source in config._module.TacticSource if config.sources & (1 << int(source))]
    assert names == ["EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS"]


@pytest.mark.parametrize("shape", ALL)
def test_the_profile_reaches_every_input(shape):
    profile = config_of(shape, part="recognizer").profile
    assert [size[0] for size in profile["imgs"]] == [1, 2, 8]
    assert [size[0] for size in profile["heatmap_imgs"]] == [1, 2, 8]
    assert profile["imgs"][2][1:] == [3, 4, 32, 32]


def test_a_graph_of_fixed_batch_gets_no_profile():
    module = Module(SHAPES["11"])
    tensorrt = TensorRT(module, Flavour.TENSORRT, print)
    tensorrt.parse(graphs("fp32", 2)["head"].SerializeToString()).build(options("fp32"), None, print)
    assert module.configs[-1].profile is None


@pytest.mark.parametrize("shape", ALL)
def test_options_reach_the_builder(shape):
    config = config_of(
        shape,
        workspace_mib=256,
        optimization_level=4,
        version_compatible=True,
        hardware_compatibility=HardwareCompatibility.AMPERE_PLUS,
    )
    assert config.pools == {"WORKSPACE": 256 << 20}
    assert config.builder_optimization_level == 4
    assert "VERSION_COMPATIBLE" in config.flags
    assert config.hardware_compatibility_level.name == "AMPERE_PLUS"
    assert config.profiling_verbosity.name == "DETAILED"


def test_an_option_that_a_version_lacks_is_refused():
    """Dropping it silently would give another engine than was asked for."""
    with pytest.raises(TensorRTError, match=r"TensorRT 8\.6\.0 has no SAME_COMPUTE_CAPABILITY"):
        build("8.6", hardware_compatibility=HardwareCompatibility.SAME_COMPUTE_CAPABILITY)


def test_rtx_is_told_the_gpus_that_are_not_there():
    config = config_of("rtx", compute_capabilities=("8.9", "12.0"))
    assert config.num_compute_capabilities == 2
    assert config.capabilities == {0: "SM89", 1: "SM120"}


@pytest.mark.parametrize(("shape", "hint"), [("rtx", "8.9, 12.0"), ("10", "--compute-capability")])
def test_a_gpu_that_cannot_be_built_for_is_refused(shape, hint):
    with pytest.raises(TensorRTError, match=r"does not build for compute capability 9\.0") as error:
        build(shape, compute_capabilities=("9.0",))
    assert hint in error.value.hint


def test_a_graph_of_too_new_an_opset_is_refused_with_the_parsers_reason():
    tensorrt = TensorRT(Module(SHAPES["8.6"]), Flavour.TENSORRT, lambda severity, text: None)
    with pytest.raises(TensorRTError, match=r"TensorRT 8\.6\.0 refuses the graph") as error:
        tensorrt.parse(graphs("int8")["head"].SerializeToString())
    assert error.value.details == ("opset 19 is not supported",)


def test_the_timing_cache_is_carried_on():
    assert build("11", cache=b"")[2] == b"+"
    assert build("11", cache=b"old")[2] == b"old+"
    assert build("11", cache=None)[2] is None


@pytest.mark.parametrize("cache", [b"foreign", b"garbage"])
def test_the_timing_cache_of_another_gpu_or_none_at_all_is_begun_anew(cache):
    assert build("11", cache=cache)[2] == b"+"


@pytest.mark.parametrize("cache", [b"foreign", b"garbage"])
def test_a_file_that_the_user_named_is_refused_where_it_is_no_timing_cache_for_this_build(cache):
    with pytest.raises(TensorRTError, match="what shall be the timing cache"):
        build("11", cache=cache, keep_cache=True)
    assert build("11", cache=b"old", keep_cache=True)[2] == b"old+"


@pytest.mark.parametrize("shape", ALL)
def test_progress_is_told_where_there_is_a_monitor(shape):
    told: list[str] = []
    build(shape, progress=told.append)
    assert told == (["Building engine"] if SHAPES[shape].progress else [])


def test_warnings_are_passed_on_and_chatter_is_not():
    log: list[tuple[str, str]] = []
    build("10", log=log)
    assert log == [("WARNING", "a warning of the builder")]


def test_a_builder_that_fails_says_so(monkeypatch):
    module = Module(SHAPES["10"])
    tensorrt = TensorRT(module, Flavour.TENSORRT, lambda severity, text: None)
    network = tensorrt.parse(graphs("fp32")["head"].SerializeToString())
    flag = module.BuilderFlag.FP16
    monkeypatch.setattr(network, "_allow_precision", lambda config, precision: config.set_flag(flag))
    with pytest.raises(TensorRTError, match="could not build the engine"):
        network.build(options("fp32"), None, print)


@pytest.mark.parametrize("shape", ALL)
def test_an_engine_names_its_tensors(shape):
    _, plan, _ = build(shape, part="recognizer")
    engine = TensorRT(Module(SHAPES[shape]), Flavour.TENSORRT, print).load(plan, host_code=True)
    tensors = {tensor.name: tensor for tensor in engine.tensors()}
    assert tensors["imgs"].shape == (-1, 3, 4, 32, 32)
    assert (tensors["imgs"].optimal[0], tensors["imgs"].largest[0]) == (2, 8)
    assert not tensors["scores"].is_input
    assert tensors["scores"].dtype == "float32"


def test_a_plan_that_does_not_load_is_an_error():
    tensorrt = TensorRT(Module(SHAPES["11"]), Flavour.TENSORRT, lambda severity, text: None)
    with pytest.raises(TensorRTError, match="does not load"):
        tensorrt.load(b"not a plan", host_code=False)


def test_an_inspector_that_tells_names_alone_is_an_error():
    module = Module(SHAPES["11"])
    module.detailed = False
    engine = TensorRT(module, Flavour.TENSORRT, print).load(build("11")[1], host_code=False)
    with pytest.raises(TensorRTError, match="no more than names"):
        engine.inspect()
