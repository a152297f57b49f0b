"""Modules with the shapes of TensorRT 8.6, 10 and 11 and of TensorRT-RTX: what they have, and what they lack.

The lists of members are those of the bindings of 8.6.0, 10.16.1.11, 11.4.0.106 and TensorRT-RTX 1.7.1.116, cut to what
matters. Their engines run in ONNX Runtime. What NVIDIA's documents forbid is refused here:

- 8.6: an engine's profile belongs to one context at a time, unless PROFILE_SHARING_0806 was set when it was built; a
  context without one takes no shapes and does not run (NvInferRuntime.h, getOptimizationProfile). In 10 that feature is
  on and cannot be changed; 11 and RTX do not have it.
- All: the first run behind new shapes cannot be captured (NvInferRuntime.h, the note at enqueueV2 and V3).
- RTX: no capture without REQUIRE_USER_ALLOCATION; kernels are fallbacks unless EAGER is asked for, and a graph keeps
  them; a USER_MANAGED context does not run without memory (docstrings of the bindings).
"""

import base64
import ctypes
import enum
import json
import types
import weakref
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto

from x3ddeploy.engines.graph_precision import graph_precisions

_COMMON_FLAGS = ("DEBUG", "REFIT", "DISABLE_TIMING_CACHE", "TF32", "VERSION_COMPATIBLE", "EXCLUDE_LEAN_RUNTIME")
_EXTERNAL = ("CUBLAS", "CUBLAS_LT", "CUDNN")
_INTERNAL = ("EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS")


@dataclass(frozen=True)
class Shape:
    version: str
    network_flags: tuple
    preview_features: tuple = ("ALIASED_PLUGIN_IO_10_03",)
    is_rtx: bool = False
    precision_flags: tuple = ()
    tactic_sources: tuple = _INTERNAL
    progress: bool = True
    compute_capabilities: tuple = ()
    hardware_levels: tuple = ("NONE", "AMPERE_PLUS", "SAME_COMPUTE_CAPABILITY")
    max_opset: int = 25
    words: tuple = (("fp32", "Float"), ("fp16", "Half"), ("int8", "Int8"))


SHAPES = {
    "8.6": Shape(
        version="8.6.0",
        network_flags=("EXPLICIT_BATCH", "EXPLICIT_PRECISION"),
        preview_features=("DISABLE_EXTERNAL_TACTIC_SOURCES_FOR_CORE_0805", "PROFILE_SHARING_0806"),
        precision_flags=("FP16", "INT8", "FP8"),
        tactic_sources=(*_EXTERNAL, *_INTERNAL),
        progress=False,
        hardware_levels=("NONE", "AMPERE_PLUS"),
        max_opset=17,
        words=(
            ("fp32", "Row major linear FP32"),
            ("fp16", "Channel major FP16 format where channel % 8 == 0"),
            ("int8", "Thirty-two wide channel vectorized row major Int8 format"),
        ),
    ),
    "10": Shape(
        version="10.16.1.11",
        network_flags=("EXPLICIT_BATCH", "STRONGLY_TYPED"),
        preview_features=("PROFILE_SHARING_0806", "ALIASED_PLUGIN_IO_10_03"),
        precision_flags=("FP16", "BF16", "INT8", "FP8", "INT4", "FP4"),
        tactic_sources=(*_EXTERNAL, *_INTERNAL),
    ),
    "11": Shape(version="11.4.0.106", network_flags=("STRONGLY_TYPED",)),
    "rtx": Shape(
        version="1.7.1.116",
        network_flags=("STRONGLY_TYPED",),
        is_rtx=True,
        compute_capabilities=("NONE", "CURRENT", "SM89", "SM120"),
    ),
}


def _named(name, members):
    return enum.Enum(name, members)


def _numbered(name, members):
    return enum.IntEnum(name, members, start=0)


class Module(types.ModuleType):
    """One fake. What it was told is kept in `configs`.

    Attributes:
        cuda: the FakeCuda whose streams the engines run in.
        ignores_precision: build everything in float32 and say nothing, as a flag that is not heeded does.
        detailed: whether the inspector tells more than names.
        error: added to every output.
        gain: multiplies every output.
        capture_fails: what TensorRT does cannot be captured.
        kernels: kernels of every finished run, in RTX: 'fallback' or 'specialized'.
    """

    def __init__(self, shape, cuda=None):
        super().__init__("tensorrt")
        self.shape, self.cuda = shape, cuda
        self.__version__ = shape.version
        self.configs = []
        self.ignores_precision = False
        self.detailed = True
        self.error, self.gain = 0.0, 1.0
        self.capture_fails = False
        self.kernels = []
        flags = (*_COMMON_FLAGS, *shape.precision_flags, *(("REQUIRE_USER_ALLOCATION",) if shape.is_rtx else ()))
        self.PreviewFeature = _numbered("PreviewFeature", shape.preview_features)
        self.BuilderFlag = _numbered("BuilderFlag", flags)
        self.NetworkDefinitionCreationFlag = _numbered("NetworkDefinitionCreationFlag", shape.network_flags)
        self.TacticSource = _numbered("TacticSource", shape.tactic_sources)
        self.ProfilingVerbosity = _named("ProfilingVerbosity", ("LAYER_NAMES_ONLY", "DETAILED", "NONE"))
        self.MemoryPoolType = _named("MemoryPoolType", ("WORKSPACE",))
        self.HardwareCompatibilityLevel = _named("HardwareCompatibilityLevel", shape.hardware_levels)
        self.LayerInformationFormat = _named("LayerInformationFormat", ("ONELINE", "JSON"))
        self.TensorIOMode = _named("TensorIOMode", ("NONE", "INPUT", "OUTPUT"))
        self.ILogger = _ILogger
        if shape.compute_capabilities:
            self.ComputeCapability = _named("ComputeCapability", shape.compute_capabilities)
        if shape.is_rtx:
            self.DynamicShapesKernelSpecializationStrategy = _named("Strategy", ("LAZY", "EAGER", "NONE"))
        if shape.progress:
            self.ExecutionContextAllocationStrategy = _named(
                "Strategy", ("STATIC", "ON_PROFILE_CHANGE", "USER_MANAGED")
            )
            self.IProgressMonitor = type("IProgressMonitor", (), {"__init__": lambda self: None})

    def Builder(self, logger):
        return _Builder(self, logger)

    def OnnxParser(self, network, logger):
        return _Parser(self, network)

    def Runtime(self, logger):
        runtime = types.SimpleNamespace(engine_host_code_allowed=False)
        runtime.deserialize_cuda_engine = lambda plan: _Engine(self, plan) if plan.startswith(b"{") else None
        return runtime


class _ILogger:
    Severity = enum.IntEnum("Severity", ("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"), start=0)


class _Builder:
    def __init__(self, module, logger):
        self._module, self._logger = module, logger

    def create_network(self, flags=0):
        known = sum(1 << int(flag) for flag in self._module.NetworkDefinitionCreationFlag)
        assert flags & ~known == 0, "a flag that this version does not have"
        return _Network(self._module, flags)

    def create_builder_config(self):
        config = _Config(self._module)
        self._module.configs.append(config)
        return config

    def create_optimization_profile(self):
        profile = types.SimpleNamespace(shapes={})
        profile.set_shape = lambda name, *shapes: profile.shapes.__setitem__(name, [list(shape) for shape in shapes])
        return profile

    def build_serialized_network(self, network, config):
        module = self._module
        if network.strongly_typed and set(config.flags) & {"FP16", "INT8", "BF16"}:
            self._logger.log(_ILogger.Severity.ERROR, "precision flags on a strongly typed network")
            return None
        self._logger.log(_ILogger.Severity.WARNING, "a warning of the builder")
        self._logger.log(_ILogger.Severity.INFO, "chatter")
        if getattr(config, "progress_monitor", None):
            config.progress_monitor.phase_start("Building engine", None, 1)
            assert config.progress_monitor.step_complete("Building engine", 0)
            config.progress_monitor.phase_finish("Building engine")
        allowed = {"fp32"} | {name.lower() for name in config.flags}
        if network.strongly_typed:
            allowed |= {"fp16", "int8"}
        plan = {
            "graph": base64.b64encode(network.model.SerializeToString()).decode(),
            "profile": config.profile,
            "shares_profile": config.features.get("PROFILE_SHARING_0806", True),
            "may_be_captured": not module.shape.is_rtx or "REQUIRE_USER_ALLOCATION" in config.flags,
            "allowed": ["fp32"] if module.ignores_precision else sorted(allowed),
        }
        if config.cache is not None:
            config.cache.content += b"+"
        return json.dumps(plan).encode()


class _Network:
    def __init__(self, module, flags):
        names = [flag.name for flag in module.NetworkDefinitionCreationFlag if flags & (1 << int(flag))]
        self.flags = names
        self.strongly_typed = "STRONGLY_TYPED" in names or not module.shape.precision_flags
        self.model = onnx.ModelProto()

    @property
    def num_inputs(self):
        return len(self.model.graph.input)

    def get_input(self, index):
        value = self.model.graph.input[index]
        axes = value.type.tensor_type.shape.dim
        shape = tuple(dim.dim_value or -1 for dim in axes)
        names = [dim.dim_param for dim in axes]
        return types.SimpleNamespace(name=value.name, shape=shape, get_dimension_name=names.__getitem__)

    @property
    def num_layers(self):
        return len(self.model.graph.node)

    def get_layer(self, index):
        node = self.model.graph.node[index]
        kinds = {"Conv": "CONVOLUTION", "Gemm": "MATRIX_MULTIPLY", "DequantizeLinear": "DEQUANTIZE"}
        types_ = {value.name: value.type.tensor_type.elem_type for value in self.model.graph.value_info}
        names = {TensorProto.FLOAT16: "HALF", TensorProto.INT8: "INT8"}
        source = types.SimpleNamespace(
            name=node.input[0], dtype=types.SimpleNamespace(name=names.get(types_.get(node.input[0]), "FLOAT"))
        )
        return types.SimpleNamespace(
            name=node.name,
            type=types.SimpleNamespace(name=kinds.get(node.op_type, node.op_type.upper())),
            num_inputs=len(node.input),
            num_outputs=len(node.output),
            get_input=lambda at: source,
            get_output=lambda at: types.SimpleNamespace(name=node.output[at]),
        )


class _Parser:
    def __init__(self, module, network):
        self._module, self._network, self._errors = module, network, []

    def parse(self, data):
        model = onnx.load_from_string(data)
        opset = model.opset_import[0].version
        if opset > self._module.shape.max_opset:
            self._errors.append(f"opset {opset} is not supported")
        if "EXPLICIT_BATCH" in self._module.shape.network_flags and "EXPLICIT_BATCH" not in self._network.flags:
            self._errors.append("the network has an implicit batch dimension")
        self._network.model = model
        return not self._errors

    @property
    def num_errors(self):
        return len(self._errors)

    def get_error(self, index):
        return types.SimpleNamespace(desc=lambda: self._errors[index])


class _Config:
    """Has an attribute where this version has it; setting another raises, as pybind's classes do."""

    _known: set[str]

    def __init__(self, module):
        own = {"_module", "flags", "sources", "cache", "profile", "pools", "capabilities", "features"}
        known = {"profiling_verbosity", "builder_optimization_level", "hardware_compatibility_level"}
        known |= {"progress_monitor"} if module.shape.progress else set()
        known |= {"num_compute_capabilities"} if module.shape.compute_capabilities else set()
        object.__setattr__(self, "_known", own | known)
        for name in known:
            object.__setattr__(self, name, None)
        self._module = module
        self.flags = ["TF32"]
        self.sources = sum(1 << int(source) for source in module.TacticSource)
        self.cache, self.profile, self.pools, self.capabilities = None, None, {}, {}
        is_old = module.shape.version.startswith("8")
        self.features = {feature.name: not is_old for feature in module.PreviewFeature}

    def __setattr__(self, name, value):
        if name not in self._known:
            raise AttributeError(name)
        object.__setattr__(self, name, value)

    def set_flag(self, flag):
        self.flags.append(flag.name)

    def clear_flag(self, flag):
        self.flags.remove(flag.name)

    def get_preview_feature(self, feature):
        return self.features[feature.name]

    def set_preview_feature(self, feature, value):
        assert self._module.shape.version.startswith("8"), "PROFILE_SHARING_0806 cannot be changed in 10"
        self.features[feature.name] = value

    def get_tactic_sources(self):
        return self.sources

    def set_tactic_sources(self, sources):
        self.sources = sources

    def set_memory_pool_limit(self, pool, size):
        self.pools[pool.name] = size

    def set_compute_capability(self, capability, index):
        self.capabilities[index] = capability.name

    def create_timing_cache(self, content):
        if content.startswith(b"garbage"):
            return None
        cache = types.SimpleNamespace(content=bytes(content))
        cache.serialize = lambda: cache.content
        return cache

    def set_timing_cache(self, cache, ignore_mismatch):
        if cache.content.startswith(b"foreign"):
            return False
        self.cache = cache
        return True

    def get_timing_cache(self):
        return self.cache

    def add_optimization_profile(self, profile):
        self.profile = profile.shapes


@cache
def _session(graph):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1  # others wait for work by looking for it all the time
    return onnxruntime.InferenceSession(graph, options)


@lru_cache(maxsize=64)
def _computed(graph, *feeds):
    """What a graph gives, by name; tests run an engine again and again on the same clips."""
    session = _session(graph)
    names = [value.name for value in session.get_outputs()]
    arrays = {name: np.frombuffer(content, dtype).reshape(shape) for name, dtype, shape, content in feeds}
    return dict(zip(names, session.run(names, arrays), strict=True))


class _Engine:
    def __init__(self, module, plan):
        self._module = module
        value = json.loads(plan)
        self._graph = base64.b64decode(value["graph"])
        self.model = onnx.load_from_string(self._graph)
        self._profile, self._allowed = value["profile"], value["allowed"]
        self.shares_profile, self.may_be_captured = value["shares_profile"], value["may_be_captured"]
        self.contexts: weakref.WeakSet[_Context] = weakref.WeakSet()  # that hold the profile
        self._values = [*self.model.graph.input, *self.model.graph.output]

    @property
    def num_io_tensors(self):
        return len(self._values)

    def get_tensor_name(self, index):
        return self._values[index].name

    def get_tensor_mode(self, name):
        is_input = any(value.name == name for value in self.model.graph.input)
        return self._module.TensorIOMode.INPUT if is_input else self._module.TensorIOMode.OUTPUT

    def get_tensor_shape(self, name):
        value = next(value for value in self._values if value.name == name)
        return tuple(dim.dim_value or -1 for dim in value.type.tensor_type.shape.dim)

    def get_tensor_dtype(self, name):
        names = {"float32": "FLOAT", "float16": "HALF", "uint8": "UINT8"}
        return types.SimpleNamespace(name=names[self.dtype(name)])

    def dtype(self, name):
        value = next(value for value in self._values if value.name == name)
        return onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name

    def get_tensor_profile_shape(self, name, index):
        return self._profile[name]  # there is none for a network of fixed shapes

    def create_engine_inspector(self):
        inspector = types.SimpleNamespace(execution_context=None)
        inspector.get_engine_information = lambda format_: self._information(inspector.execution_context)
        return inspector

    @property
    def device_memory_size_v2(self):
        return 1024

    def __getattr__(self, name):
        if name == "create_runtime_config" and self._module.shape.progress:
            return self._runtime_config
        raise AttributeError(name)

    def _runtime_config(self):
        module = self._module
        config = types.SimpleNamespace(allocation=module.ExecutionContextAllocationStrategy.STATIC)
        if module.shape.is_rtx:
            lazy = module.DynamicShapesKernelSpecializationStrategy.LAZY
            config.dynamic_shapes_kernel_specialization_strategy = lazy
        config.set_execution_context_allocation_strategy = lambda value: setattr(config, "allocation", value)
        return config

    def create_execution_context(self, config=None):
        return _Context(self._module, self, config)

    def run(self, feeds):
        return _computed(
            self._graph, *((name, value.dtype.str, value.shape, value.tobytes()) for name, value in feeds.items())
        )

    def _information(self, context):
        words = dict(self._module.shape.words)
        layers: list[dict[str, object]] = [
            {"Name": "Reformatting CopyNode for Input Tensor 0 to x", "LayerType": "Reformat", "Inputs": []}
        ]
        for index, layer in enumerate(graph_precisions(self.model)):
            runs = layer.precision if layer.precision in self._allowed else "fp32"
            text = words[runs] if context is not None and context.has_shapes else "N/A due to dynamic shapes"
            # 8.6 names a fused layer for its nodes; later versions have names of their own, and metadata. Of what was
            # fused in, a scale may come before the values.
            is_old = self._module.shape.version.startswith("8")
            layers.append(
                {
                    "Name": f"{layer.node} + next/Relu || beside/Conv" if is_old else f"__myl_ConvRelu_myl{index}_0",
                    "LayerType": "CaskConvolution" if is_old or index % 2 else "kgen",
                    "Inputs": [
                        {"Name": "scale", "Dimensions": [1], "Format/Datatype": words["fp32"]},
                        {"Name": "x", "Dimensions": [1, 8, 4, 4], "Format/Datatype": text},
                    ],
                    "Metadata": "" if is_old else f"[ONNX Layer: {layer.node}]\x1e[ONNX Layer: next/Relu]",
                }
            )
        text = json.dumps({"Layers": layers if self._module.detailed else [layer["Name"] for layer in layers]})
        return text.replace("\\u001e", "\x1e")  # as it is, which strict JSON forbids


class _Context:
    def __init__(self, module, engine, config):
        self._module, self._engine = module, engine
        self._shapes, self._addresses, self._outputs = {}, {}, {}
        self._is_prepared, self._memory = False, None
        self._kernels = ""
        if config is not None and module.shape.is_rtx:
            is_eager = config.dynamic_shapes_kernel_specialization_strategy.name == "EAGER"
            self._kernels = "specialized" if is_eager else "fallback"
        self._is_managed = config is not None and config.allocation.name == "USER_MANAGED"
        self.active_optimization_profile = -1
        if self._may_have_profile():
            self.set_optimization_profile_async(0, 0)

    def _may_have_profile(self):
        return self._engine.shares_profile or not self._engine.contexts or self._engine._profile is None

    def set_optimization_profile_async(self, index, stream):
        if not self._may_have_profile():
            return False
        self.active_optimization_profile = index
        self._engine.contexts.add(self)
        return True

    def set_device_memory(self, address, size):
        assert address % 256 == 0
        assert size >= self._engine.device_memory_size_v2
        self._memory = address

    def __getattr__(self, name):
        if name == "is_stream_capturable" and self._module.shape.is_rtx:
            return lambda stream: self._engine.may_be_captured
        raise AttributeError(name)

    @property
    def has_shapes(self):
        return len(self._shapes) == len(self._engine.model.graph.input)

    def set_input_shape(self, name, shape):
        if self.active_optimization_profile < 0:
            return False
        fixed = self._engine.get_tensor_shape(name)
        low, _, high = self._engine.get_tensor_profile_shape(name, 0) if -1 in fixed else (fixed, fixed, fixed)
        if len(shape) != len(low) or not np.all((np.array(low) <= shape) & (np.array(shape) <= high)):
            return False
        self._shapes[name] = tuple(shape)
        self._is_prepared = False
        return True

    def get_tensor_shape(self, name):
        if name not in self._outputs:
            zeros = {name: np.zeros(shape, self._engine.dtype(name)) for name, shape in self._shapes.items()}
            self._outputs |= {name: value.shape for name, value in self._engine.run(zeros).items()}
        return self._outputs[name]

    def set_tensor_address(self, name, address):
        self._addresses[name] = address
        return address % 256 == 0

    def execute_async_v3(self, stream):
        cuda = self._module.cuda
        if self.active_optimization_profile < 0 or (self._is_managed and self._memory is None):
            return False
        is_captured = cuda.recording is not None
        if is_captured and (self._module.capture_fails or not self._is_prepared or not self._engine.may_be_captured):
            cuda.broken = "operation failed due to a previous error during capture"
            return not self._module.capture_fails  # it may show only when the capture ends
        self._is_prepared = True
        # A lazy context has its kernels by the second run; what was captured keeps those that it was captured with.
        kernels, self._kernels = self._kernels, "specialized" if self._kernels and not is_captured else self._kernels
        shapes, addresses, engine = dict(self._shapes), dict(self._addresses), self._engine
        error, gain = self._module.error, self._module.gain
        outputs = {value.name: self.get_tensor_shape(value.name) for value in engine.model.graph.output}

        def run():
            self._module.kernels.append(kernels)
            feeds = {name: _read(addresses[name], shape, engine.dtype(name)) for name, shape in shapes.items()}
            for name, value in engine.run(feeds).items():
                data = np.ascontiguousarray(gain * value + np.float32(error) * np.abs(value).max(), value.dtype)
                assert data.shape == outputs[name]
                ctypes.memmove(addresses[name], data.ctypes.data, data.nbytes)

        self._module.cuda.stream_of(stream).put(("run", run))
        return True


def _read(address, shape, dtype):
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(ctypes.string_at(address, size), dtype).reshape(shape)
