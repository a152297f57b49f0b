"""What is called of TensorRT is there in NVIDIA's wheels, with these arguments; nothing of it is run.

TensorRT-RTX's wheel is installed with the tests. Those of 8.6, 10 and 11 are asked where `make bindings` brought them.
"""

import enum
import importlib.util
import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest
from support.fake_tensorrt import SHAPES, Module
from support.pythons import interpreters
from support.tensorrt_wheels import unpacked, wheels

from x3ddeploy.bundle.engine_options import HardwareCompatibility

# Class -> what is used of it: a method with its number of arguments besides self, or None for an attribute.
USED: dict[str, dict[str, Any]] = {
    "Builder": {
        "create_network": 1,
        "create_builder_config": 0,
        "create_optimization_profile": 0,
        "build_serialized_network": 2,
    },
    "IBuilderConfig": {
        "set_flag": 1,
        "clear_flag": 1,
        "get_preview_feature": 1,
        "set_preview_feature": 2,
        "get_tactic_sources": 0,
        "set_tactic_sources": 1,
        "set_memory_pool_limit": 2,
        "create_timing_cache": 1,
        "set_timing_cache": 2,
        "get_timing_cache": 0,
        "add_optimization_profile": 1,
        "profiling_verbosity": None,
        "builder_optimization_level": None,
        "hardware_compatibility_level": None,
    },
    "IOptimizationProfile": {"set_shape": 4},
    "INetworkDefinition": {"num_inputs": None, "get_input": 1, "num_layers": None, "get_layer": 1},
    "ITensor": {"name": None, "shape": None, "dtype": None, "get_dimension_name": 1},
    "ILayer": {"name": None, "type": None, "num_inputs": None, "num_outputs": None, "get_input": 1, "get_output": 1},
    "OnnxParser": {"parse": 2, "num_errors": None, "get_error": 1},
    "Runtime": {"deserialize_cuda_engine": 1, "engine_host_code_allowed": None},
    "ICudaEngine": {
        "num_io_tensors": None,
        "get_tensor_name": 1,
        "get_tensor_mode": 1,
        "get_tensor_shape": 1,
        "get_tensor_dtype": 1,
        "get_tensor_profile_shape": 2,
        "create_engine_inspector": 0,
        "create_execution_context": 0,
    },
    "IExecutionContext": {
        "set_input_shape": 2,
        "get_tensor_shape": 1,
        "set_tensor_address": 2,
        "execute_async_v3": 1,
        "active_optimization_profile": None,
        "set_optimization_profile_async": 2,
    },
    "EngineInspector": {"execution_context": None, "get_engine_information": 1},
}
# TensorRT-RTX alone has a strategy for kernels, and tells whether it can be captured; what it is told apart by.
OF_RTX: dict[str, dict[str, Any]] = {
    "ICudaEngine": {"device_memory_size_v2": None},
    "IExecutionContext": {"is_stream_capturable": 1, "set_device_memory": 2},
    "IRuntimeConfig": {
        "dynamic_shapes_kernel_specialization_strategy": None,
        "set_execution_context_allocation_strategy": 1,
    },
}
TELLING = {
    "IRuntimeConfig": "dynamic_shapes_kernel_specialization_strategy",
    "IExecutionContext": "is_stream_capturable",
}
# From 10 on builds tell how far they are, and contexts take a configuration.
OF_LATER: dict[str, dict[str, Any]] = {
    "IProgressMonitor": {"phase_start": 3, "phase_finish": 1, "step_complete": 2},
    "ICudaEngine": {"create_runtime_config": 0, "create_execution_context": 1},
}
# Members that are used, or that tell one version from another. A version has those that its stand-in has, and no others
# of these.
MEMBERS = {
    "BuilderFlag": {"TF32", "VERSION_COMPATIBLE", "FP16", "BF16", "INT8", "REQUIRE_USER_ALLOCATION"},
    "NetworkDefinitionCreationFlag": {"EXPLICIT_BATCH", "STRONGLY_TYPED"},
    "PreviewFeature": {"PROFILE_SHARING_0806"},
    "TacticSource": {"CUBLAS", "CUBLAS_LT", "CUDNN", "EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS"},
    "HardwareCompatibilityLevel": {level.name for level in HardwareCompatibility},
    "ProfilingVerbosity": {"DETAILED"},
    "MemoryPoolType": {"WORKSPACE"},
    "LayerInformationFormat": {"JSON"},
    "TensorIOMode": {"INPUT", "OUTPUT"},
    "DynamicShapesKernelSpecializationStrategy": {"LAZY", "EAGER"},
}
ASK = """
import importlib, json, sys
trt = importlib.import_module(sys.argv[1])
used = json.loads(sys.argv[2])
docs = {kind: {name: getattr(getattr(getattr(trt, kind), name, None), "__doc__", None) for name in names}
        for kind, names in used.items()}
there = {kind: [name for name in names if hasattr(getattr(trt, kind), name)] for kind, names in used.items()}
members = {name: list(getattr(getattr(trt, name, None), "__members__", ())) for name in json.loads(sys.argv[3])}
telling = [hasattr(getattr(trt, kind, None), name) for kind, name in json.loads(sys.argv[4]).items()]
print(json.dumps([docs, there, members, telling]))
"""


@pytest.fixture(params=SHAPES)
def answers(request, tmp_path):
    """The stand-in's name, what is used of that version, and what its wheel says of it."""
    shape = request.param
    used = {kind: dict(names) for kind, names in USED.items()}
    for more in ((OF_LATER,) if shape != "8.6" else ()) + ((OF_RTX,) if SHAPES[shape].is_rtx else ()):
        for kind, names in more.items():
            used.setdefault(kind, {}).update(names)
    python, package, environment = sys.executable, "tensorrt_rtx", {}
    if shape == "rtx":
        if importlib.util.find_spec(package) is None:
            pytest.skip("TensorRT-RTX is not installed")
    else:
        wheel = next((path for version, path in wheels().items() if version.startswith(shape)), None)
        if wheel is None:
            pytest.skip(f"no wheel of TensorRT {shape}'s bindings: `make bindings` brings it")
        wanted = re.sub(r".*-cp3(\d+)-.*", r"python3.\1", wheel.name)
        known = {**interpreters(), f"python3.{sys.version_info[1]}": sys.executable}
        if wanted not in known:
            pytest.skip(f"{wheel.name} is for {wanted}, which is not here")
        python = known[wanted]
        environment, package = unpacked(wheel, tmp_path)
    words = [package, json.dumps(used), json.dumps(list(MEMBERS)), json.dumps(TELLING)]
    process = subprocess.run(
        [python, "-c", ASK, *words], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert process.returncode == 0, process.stderr
    return shape, used, *json.loads(process.stdout)


def test_the_wheel_has_what_is_used_of_it_and_the_stand_in_is_like_it(answers):
    shape, used, docs, there, found, telling = answers
    assert telling == [SHAPES[shape].is_rtx] * len(TELLING)
    for kind, names in used.items():
        assert set(names) == set(there[kind]), kind
        for name, arguments in names.items():
            if arguments is not None:
                signatures = [line for line in docs[kind][name].splitlines() if f"{name}(self" in line]
                bare = [re.sub(r"<[^>]*>", "", signature).partition(") ->")[0] for signature in signatures]
                counts = {signature.count(": ") - 1 for signature in bare}  # besides self
                assert arguments in counts, (kind, name, signatures)
    stand_in = Module(SHAPES[shape])
    for kind, known in MEMBERS.items():
        played = getattr(stand_in, kind, None)
        members = set(played.__members__) if isinstance(played, enum.EnumMeta) else set()
        assert members <= set(found[kind]), kind
        assert members & known == set(found[kind]) & known, kind
