"""The only module that imports TensorRT or TensorRT-RTX, and the only one that knows how their versions differ.

What a version can do is asked of its classes (`hasattr`), never derived from its number. Three shapes are met:

- 8.6: networks are typed weakly, so that the precision of a graph has to be allowed again with builder flags, and
  have an explicit batch only where a flag says so; an engine's profile serves one context unless it is told otherwise;
- 10: networks can be typed strongly, which makes the types in the graph the law;
- 11 and TensorRT-RTX: they always are; the flags for precisions are gone. RTX builds for GPUs that are not there, and
  compiles kernels when it runs: what is to be recorded as a CUDA graph asks for them at once, and brings memory.

Nothing here may run in a process that the user's work depends on where no GPU was seen: without one, TensorRT's Builder
raises and its Runtime may crash. See `x3ddeploy.child_process`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from x3ddeploy.bundle.engine_options import BuildOptions, Flavour, HardwareCompatibility
from x3ddeploy.contract import PERSONS_AXIS
from x3ddeploy.errors import MissingRequirementError
from x3ddeploy.progress import Step
from x3ddeploy.tensorrt.engine import Engine, TensorRTError
from x3ddeploy.terms import Precision

INSTALL = {
    Flavour.TENSORRT: "pip install --extra-index-url https://pypi.nvidia.com 'x3ddeploy[tensorrt]'",
    Flavour.RTX: "pip install 'x3ddeploy[tensorrt-rtx]'",
}

Log = Callable[[str, str], None]


@dataclass(frozen=True)
class Features:
    """What the installed version can do.

    Attributes:
        strongly_typed: types in the graph decide; no flag is needed or heeded.
        explicit_batch_flag: a network has a batch axis only where it is asked for.
        precision_flags: builder flags that allow a precision.
        compute_capabilities: 'major.minor' of the GPUs that it can build for without one; empty where it cannot.
        progress: it tells how far a build is.
        external_tactics: it may call cuBLAS and cuDNN, which have to be there in its version.
        own_tactics: kernels that it chooses from here: all but those.
    """

    strongly_typed: bool
    explicit_batch_flag: bool
    precision_flags: frozenset[str]
    compute_capabilities: tuple[str, ...]
    progress: bool
    external_tactics: frozenset[str]
    own_tactics: tuple[str, ...]


@dataclass(frozen=True)
class ParsedLayer:
    """A layer of a parsed network, before the builder touched it.

    Attributes:
        name: name of the ONNX node that it came from.
        kind: 'CONVOLUTION', 'MATRIX_MULTIPLY', ...
        input_type: 'FLOAT', 'HALF', 'BF16', 'INT8', ... of its first input; '' where it has none.
        reads_dequantized: its first input comes out of a DequantizeLinear, so that it computes in INT8.
    """

    name: str
    kind: str
    input_type: str
    reads_dequantized: bool


class TensorRT:
    """One installed TensorRT."""

    def __init__(self, module: Any, flavour: Flavour, log: Log) -> None:
        self._trt = module
        self.flavour = flavour
        self.version: str = module.__version__
        self.features = _features(module)
        self._logger = _logger(module, log)

    def parse(self, graph: bytes) -> ParsedNetwork:
        """Read an ONNX graph.

        Raises:
            TensorRTError: the parser refuses it; each of its reasons is a detail.
        """
        builder = self._made(self._trt.Builder, "builder")
        network = builder.create_network(self._network_flags())
        parser = self._trt.OnnxParser(network, self._logger)
        if not parser.parse(graph):
            reasons = [str(parser.get_error(index).desc()) for index in range(parser.num_errors)]
            raise TensorRTError(
                f"{self.flavour.title} {self.version} refuses the graph",
                details=reasons[:12],
                hint="graphs of opset 18 and newer need TensorRT 10: see docs/build-trt.md for 8.6",
            )
        return ParsedNetwork(self._trt, self, builder, network, parser)

    def load(self, plan: bytes, *, host_code: bool) -> Engine:
        """Deserialize an engine. Needs the GPU that it was built for.

        Args:
            plan: the file's content.
            host_code: allow the lean runtime that a version-compatible plan carries to be executed. Only for plans
                whose sha256 is known.

        Raises:
            TensorRTError: the plan does not load here.
        """
        runtime = self._made(self._trt.Runtime, "runtime")
        if host_code and hasattr(runtime, "engine_host_code_allowed"):
            runtime.engine_host_code_allowed = True
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise TensorRTError(f"{self.flavour.title} {self.version} does not load the engine", hint="see its log")
        return Engine(self._trt, runtime, engine)

    def _made(self, kind: Any, what: str) -> Any:
        try:
            return kind(self._logger)
        except TypeError as error:  # pybind11's word for a factory that returned nothing
            message = f"{self.flavour.title} {self.version} gives no {what} here: {error}"
            raise TensorRTError(message, hint="see its log: the driver may be too old for it") from error

    def _network_flags(self) -> int:
        known = self._trt.NetworkDefinitionCreationFlag
        wanted = [name for name in ("EXPLICIT_BATCH", "STRONGLY_TYPED") if hasattr(known, name)]
        return sum(1 << int(getattr(known, name)) for name in wanted)


class ParsedNetwork:
    """A parsed graph, ready to be built. Holds on to its parser: the network's weights lie there."""

    def __init__(self, module: Any, owner: TensorRT, builder: Any, network: Any, parser: Any) -> None:
        self._trt, self._owner, self._builder, self._network, self._parser = module, owner, builder, network, parser

    def layers(self) -> list[ParsedLayer]:
        """All layers in order; on a strongly typed network these types are what the engine will compute in."""
        layers = [self._network.get_layer(index) for index in range(self._network.num_layers)]
        dequantized = {
            layer.get_output(index).name
            for layer in layers
            if layer.type.name == "DEQUANTIZE"
            for index in range(layer.num_outputs)
        }
        return [self._describe(layer, dequantized) for layer in layers]

    def build(
        self, options: BuildOptions, cache: bytes | None, progress: Step, *, keep_cache: bool = False
    ) -> tuple[bytes, bytes | None]:
        """Build the engine.

        Args:
            options: see BuildOptions.
            cache: the timing cache that an earlier build left, b'' to begin one, None for none.
            progress: receives each phase that begins, where the version tells.
            keep_cache: refuse what is no cache, or one of another version or GPU, instead of beginning anew.

        Returns:
            The plan, and the timing cache as it is now.

        Raises:
            TensorRTError: the builder failed, or this version lacks what was asked for.
        """
        config = self._config(options, progress)
        if cache is not None:
            earlier = config.create_timing_cache(cache)  # None for what is no cache at all
            if earlier is None or not config.set_timing_cache(earlier, False):
                if keep_cache:
                    raise TensorRTError(
                        f"what shall be the timing cache is none of {self._owner.flavour.title} {self._owner.version} "
                        "on this GPU",
                        hint="name a file that does not exist yet with --timing-cache",
                    )
                config.set_timing_cache(config.create_timing_cache(b""), False)
        plan = self._builder.build_serialized_network(self._network, config)
        if plan is None:
            raise TensorRTError(
                f"{self._owner.flavour.title} {self._owner.version} could not build the engine",
                hint="see its log",
            )
        timings = config.get_timing_cache() if cache is not None else None
        return bytes(plan), bytes(timings.serialize()) if timings is not None else None

    def _describe(self, layer: Any, dequantized: set[str]) -> ParsedLayer:
        source = layer.get_input(0) if layer.num_inputs else None
        return ParsedLayer(
            name=layer.name,
            kind=layer.type.name,
            input_type=source.dtype.name if source is not None else "",
            reads_dequantized=source is not None and source.name in dequantized,
        )

    def _config(self, options: BuildOptions, progress: Step) -> Any:
        trt, features = self._trt, self._owner.features
        config = self._builder.create_builder_config()
        self._allow_precision(config, options.precision)
        self._prepare_for_sessions(config)
        if features.external_tactics:
            external = sum(1 << int(getattr(trt.TacticSource, name)) for name in features.external_tactics)
            config.set_tactic_sources(config.get_tactic_sources() & ~external)
        if hasattr(trt, "ProfilingVerbosity"):
            config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # or the inspector tells names alone
        if options.workspace_mib is not None:
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
        if options.optimization_level is not None:
            self._set(config, "builder_optimization_level", options.optimization_level)
        if options.version_compatible:
            config.set_flag(self._flag("VERSION_COMPATIBLE"))
        if options.hardware_compatibility is not HardwareCompatibility.NONE:
            levels = self._require(trt, "HardwareCompatibilityLevel")
            name = options.hardware_compatibility.name
            self._set(config, "hardware_compatibility_level", self._require(levels, name))
        if options.compute_capabilities:
            self._target(config, options.compute_capabilities)
        if features.progress:
            config.progress_monitor = _progress_monitor(trt, progress)
        self._add_profile(config, options)
        return config

    def _allow_precision(self, config: Any, precision: Precision) -> None:
        flags = self._trt.BuilderFlag
        if hasattr(flags, "TF32"):
            config.clear_flag(flags.TF32)  # float32 means float32: TF32 keeps 10 bits of mantissa
        if self._owner.features.strongly_typed:
            return
        wanted = {Precision.FP16: ("FP16",), Precision.BF16: ("BF16",), Precision.INT8: ("FP16", "INT8")}
        for name in wanted.get(precision, ()):
            config.set_flag(self._flag(name))

    def _prepare_for_sessions(self, config: Any) -> None:
        """What a session of several contexts and CUDA graphs asks of an engine, where it is not so anyway."""
        preview = getattr(self._trt, "PreviewFeature", None)
        sharing = getattr(preview, "PROFILE_SHARING_0806", None)
        # 8.6 gives the profile to one context at a time, so that a second number of clips would never run; on from 10
        # on, where it cannot be changed. NvInfer.h, PreviewFeature.
        if sharing is not None and not config.get_preview_feature(sharing):
            config.set_preview_feature(sharing, True)
        # TensorRT-RTX may allocate while it runs, which no stream capture allows. Its BuilderFlag's documentation.
        if hasattr(self._trt.BuilderFlag, "REQUIRE_USER_ALLOCATION"):
            config.set_flag(self._trt.BuilderFlag.REQUIRE_USER_ALLOCATION)

    def _target(self, config: Any, capabilities: Sequence[str]) -> None:
        known = self._owner.features.compute_capabilities
        unknown = [capability for capability in capabilities if capability not in known]
        if unknown:
            raise TensorRTError(
                f"{self._owner.flavour.title} {self._owner.version} does not build for compute capability "
                f"{', '.join(unknown)}",
                hint=f"it builds for {', '.join(known)}" if known else "leave out --compute-capability",
            )
        config.num_compute_capabilities = len(capabilities)
        for index, capability in enumerate(capabilities):
            member = getattr(self._trt.ComputeCapability, f"SM{capability.replace('.', '')}")
            config.set_compute_capability(member, index)

    def _add_profile(self, config: Any, options: BuildOptions) -> None:
        profile = self._builder.create_optimization_profile()
        is_dynamic = False
        for index in range(self._network.num_inputs):
            tensor = self._network.get_input(index)
            shape = tuple(tensor.shape)
            is_dynamic |= -1 in shape
            ranges = {
                axis: options.persons if tensor.get_dimension_name(axis) == PERSONS_AXIS else options.batches
                for axis, size in enumerate(shape)
                if size == -1
            }
            bounds = [
                tuple(getattr(ranges[axis], bound) if axis in ranges else size for axis, size in enumerate(shape))
                for bound in ("minimum", "optimum", "maximum")
            ]
            profile.set_shape(tensor.name, *bounds)
        if is_dynamic:
            config.add_optimization_profile(profile)

    def _flag(self, name: str) -> Any:
        return self._require(self._trt.BuilderFlag, name)

    def _set(self, config: Any, name: str, value: object) -> None:
        self._require(config, name)
        setattr(config, name, value)

    def _require(self, owner: Any, name: str) -> Any:
        if not hasattr(owner, name):
            raise TensorRTError(
                f"{self._owner.flavour.title} {self._owner.version} has no {name}", hint="leave that option out"
            )
        return getattr(owner, name)


def open_tensorrt(flavour: Flavour, log: Log) -> TensorRT:
    """Import it.

    Args:
        flavour: which one.
        log: receives (severity, message) of TensorRT's own messages from warnings on.

    Raises:
        MissingRequirementError: it is not installed, or cannot be imported.
    """
    try:
        module = importlib.import_module(flavour.value)
    except ImportError as error:
        raise MissingRequirementError(f"{flavour.title} cannot be imported: {error}", hint=INSTALL[flavour]) from error
    return TensorRT(module, flavour, log)


_EXTERNAL_TACTICS = ("CUBLAS", "CUBLAS_LT", "CUDNN")


def _features(module: Any) -> Features:
    flags = module.NetworkDefinitionCreationFlag
    sources = getattr(module, "TacticSource", None)
    precisions = frozenset(name for name in ("FP16", "INT8") if hasattr(module.BuilderFlag, name))
    return Features(
        # Where neither the way to ask for it nor another is left, it is the only way.
        strongly_typed=hasattr(flags, "STRONGLY_TYPED") or not precisions,
        explicit_batch_flag=hasattr(flags, "EXPLICIT_BATCH"),
        precision_flags=precisions,
        compute_capabilities=_compute_capabilities(module),
        progress=hasattr(module, "IProgressMonitor"),
        external_tactics=frozenset(name for name in _EXTERNAL_TACTICS if hasattr(sources, name)),
        own_tactics=tuple(name for name in getattr(sources, "__members__", ()) if name not in _EXTERNAL_TACTICS),
    )


def _compute_capabilities(module: Any) -> tuple[str, ...]:
    """From members such as SM89 and SM120: the last digit is the minor version."""
    members = getattr(getattr(module, "ComputeCapability", None), "__members__", {})
    digits = (name.removeprefix("SM") for name in members if name.startswith("SM"))
    return tuple(f"{text[:-1]}.{text[-1]}" for text in digits)


def _logger(module: Any, log: Log) -> Any:
    severities = module.ILogger.Severity

    class Logger(module.ILogger):
        def __init__(self) -> None:
            module.ILogger.__init__(self)  # the bindings ask for this form

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= int(severities.WARNING):
                log(severity.name, message)

    return Logger()


def _progress_monitor(module: Any, progress: Step) -> Any:
    class Monitor(module.IProgressMonitor):
        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            progress(f"{parent}: {phase}" if parent else phase)

        def phase_finish(self, phase: str) -> None:
            pass

        def step_complete(self, phase: str, step: int) -> bool:
            return True

    return Monitor()
