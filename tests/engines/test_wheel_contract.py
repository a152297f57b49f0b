"""What is called of TensorRT is there in the wheels that are installed, with these arguments; nothing of it is run.

The stand-ins are worth as much as their likeness: `test_trt_api_shapes.py` holds their members to the same wheels.
"""

import importlib.util
import json
import re
import subprocess
import sys

import pytest

# Class -> what is used of it: a method with its number of arguments besides self, or None for an attribute.
USED = {
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
        "create_execution_context": 1,
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
# TensorRT-RTX alone has these.
OF_RTX = {
    "ICudaEngine": {"create_runtime_config": 0, "device_memory_size_v2": None},
    "IExecutionContext": {"is_stream_capturable": 1, "set_device_memory": 2},
    "IRuntimeConfig": {
        "dynamic_shapes_kernel_specialization_strategy": None,
        "set_execution_context_allocation_strategy": 1,
    },
}
MEMBERS = {
    "BuilderFlag": {"TF32", "VERSION_COMPATIBLE"},
    "ProfilingVerbosity": {"DETAILED"},
    "MemoryPoolType": {"WORKSPACE"},
    "LayerInformationFormat": {"JSON"},
    "TensorIOMode": {"INPUT", "OUTPUT"},
}
MEMBERS_OF_RTX = {
    "BuilderFlag": {"REQUIRE_USER_ALLOCATION"},
    "DynamicShapesKernelSpecializationStrategy": {"LAZY", "EAGER"},
    "ExecutionContextAllocationStrategy": {"STATIC", "USER_MANAGED"},
}
ASK = """
import importlib, json, sys
trt = importlib.import_module(sys.argv[1])
used = json.loads(sys.argv[2])
docs = {kind: {name: getattr(getattr(getattr(trt, kind), name, None), "__doc__", None) for name in names}
        for kind, names in used.items()}
there = {kind: [name for name in names if hasattr(getattr(trt, kind), name)] for kind, names in used.items()}
members = {name: list(getattr(trt, name).__members__) for name in json.loads(sys.argv[3])}
print(json.dumps([docs, there, members]))
"""


@pytest.mark.parametrize("package", ["tensorrt", "tensorrt_rtx"])
def test_the_wheel_has_what_is_used_of_it(package):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    used, members = {kind: dict(names) for kind, names in USED.items()}, {kind: set(of) for kind, of in MEMBERS.items()}
    if package == "tensorrt_rtx":
        for kind, names in OF_RTX.items():
            used.setdefault(kind, {}).update(names)
        for kind, names in MEMBERS_OF_RTX.items():
            members.setdefault(kind, set()).update(names)
    words = [package, json.dumps(used), json.dumps(list(members))]
    process = subprocess.run([sys.executable, "-c", ASK, *words], capture_output=True, text=True, check=True)
    docs, there, found = json.loads(process.stdout)
    for kind, names in used.items():
        assert set(names) == set(there[kind]), kind
        for name, arguments in names.items():
            if arguments is not None:
                signatures = [line for line in docs[kind][name].splitlines() if f"{name}(self" in line]
                bare = [re.sub(r"<[^>]*>", "", signature).partition(") ->")[0] for signature in signatures]
                counts = {signature.count(": ") - 1 for signature in bare}  # besides self
                assert arguments in counts, (kind, name, signatures)
    for kind, names in members.items():
        assert names <= set(found[kind]), kind
