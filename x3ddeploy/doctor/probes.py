"""The probes: each imports one package for real and makes it do a little work. They run in child processes only."""

from __future__ import annotations

import base64
import ctypes
import importlib
import importlib.metadata
import re
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from x3ddeploy.tensorrt.trt import TensorRT

Facts = dict[str, Any]

# y = Conv(x) with a kernel of ones, x [1, 1, 3, 3] and y [1, 1, 1, 1], opset 17, IR 8: 9 for ones. Bytes, so that no
# probe needs the onnx package.
TINY_MODEL = base64.b64decode(
    "CAg6nQEKJgoBeAoBdxIBeSIEQ29udioVCgxrZXJuZWxfc2hhcGVAA0ADoAEHEgR0aW55KjMIAQgBCAMIAxABIiQAAIA/AACAPwAAgD8AAIA/AACA"
    "PwAAgD8AAIA/AACAPwAAgD9CAXdaGwoBeBIWChQIARIQCgIIAQoCCAEKAggDCgIIA2IbCgF5EhYKFAgBEhAKAggBCgIIAQoCCAEKAggBQgQKABAR"
)
TINY_SHAPE = (1, 1, 3, 3)


def numpy_works() -> Facts:
    """Import numpy and multiply."""
    import numpy as np

    _expect_nine(np.ones((1, 9)) @ np.ones((9, 1)))
    return {}


def torch_works() -> Facts:
    """Import torch and convolve; what it sees of CUDA."""
    import torch

    _expect_nine(torch.nn.functional.conv2d(torch.ones(TINY_SHAPE), torch.ones(TINY_SHAPE)))
    return {"cuda_build": torch.version.cuda, "cuda_available": torch.cuda.is_available()}


def onnx_works() -> Facts:
    """Import onnx and check a model."""
    import onnx

    onnx.checker.check_model(onnx.load_model_from_string(TINY_MODEL), full_check=True)
    return {}


def onnxruntime_works() -> Facts:
    """Open a session with each local execution provider; ONNX Runtime falls back to the CPU without an error."""
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    ones = np.ones(TINY_SHAPE, np.float32)
    offered = [provider for provider in ort.get_available_providers() if provider != "AzureExecutionProvider"]
    opened = []
    for provider in offered:
        session = ort.InferenceSession(TINY_MODEL, options, providers=[provider])
        _expect_nine(session.run(None, {"x": ones})[0])
        if provider in session.get_providers():
            opened.append(provider)
    return {"providers_offered": offered, "providers_opened": opened}


def openvino_works() -> Facts:
    """Compile the tiny model for the CPU and run it; the devices that OpenVINO sees."""
    import numpy as np
    import openvino as ov

    core = ov.Core()
    ones = np.ones(TINY_SHAPE, np.float32)
    _expect_nine(core.compile_model(core.read_model(TINY_MODEL), "CPU")([ones])[0])
    return {"devices": list(core.available_devices)}


def rgbposeconv3d_works() -> Facts:
    """Import the baseline's backbone from MMAction2."""
    from x3ddeploy.mmaction_compat import import_registry, lacks_localizer

    if import_registry().get("RGBPoseConv3D") is None:
        raise ImportError("MMAction2's registry holds no RGBPoseConv3D")
    return {"lacks_drn": lacks_localizer(importlib.import_module("mmaction"))}


def tensorrt_works() -> Facts:
    """Import TensorRT; make a builder only where there is a GPU (without one it raises, or crashes)."""
    tensorrt = _opened("tensorrt")
    has_gpu = bool(cuda_driver()["devices"])
    if has_gpu:
        _build_engine(tensorrt)
    return {"builds": has_gpu, "strongly_typed": tensorrt.features.strongly_typed, "cuda": _cuda_of("tensorrt")}


def tensorrt_rtx_works() -> Facts:
    """Parse and build the tiny model with TensorRT-RTX, for a compute capability, which needs no GPU."""
    tensorrt = _opened("tensorrt_rtx")
    return {
        "engine_bytes": _build_engine(tensorrt, "8.9"),
        "compute_capabilities": list(tensorrt.features.compute_capabilities),
    }


def cuda_driver() -> Facts:
    """Ask the CUDA driver (and NVML for its version) through ctypes; `problem` says why there is no device."""
    facts: Facts = {"driver": _driver_version(), "cuda": None, "devices": [], "problem": ""}
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        cuda = ctypes.CDLL(library)
    except OSError:
        facts["problem"] = f"no NVIDIA driver ({library} not found)"
        return facts
    version, count = ctypes.c_int(), ctypes.c_int()
    if cuda.cuDriverGetVersion(ctypes.byref(version)) == 0:
        facts["cuda"] = f"{version.value // 1000}.{version.value % 1000 // 10}"
    code = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count))
    if code:
        text = ctypes.c_char_p()
        cuda.cuGetErrorString(code, ctypes.byref(text))
        facts["problem"] = f"the CUDA driver says: {(text.value or b'unknown error').decode()} ({code})"
        return facts
    facts["devices"] = [_device(cuda, ordinal) for ordinal in range(count.value)]
    if not facts["devices"]:
        facts["problem"] = "the CUDA driver shows no device"
    return facts


def gpu_settings(library: str = "") -> Facts:
    """What NVML tells of how the first GPU is set up; empty where there is none."""
    try:
        nvml = ctypes.CDLL(library or ("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"))
    except OSError:
        return {}
    gpu = ctypes.c_void_p()
    if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(gpu)):
        return {}

    def number(function: str, which: int = 0) -> int | None:
        """The function's last argument, or that before it where it gives two."""
        values = [ctypes.c_uint() for _ in range(which + 1)]
        code = getattr(nvml, function)(gpu, *map(ctypes.byref, values))
        return None if code else values[0].value

    persistence, mig = number("nvmlDeviceGetPersistenceMode"), number("nvmlDeviceGetMigMode", 1)
    limit, usual = number("nvmlDeviceGetPowerManagementLimit"), number("nvmlDeviceGetPowerManagementDefaultLimit")
    count = ctypes.c_uint(0)  # asked with room for none, it tells how many there are
    nvml.nvmlDeviceGetComputeRunningProcesses_v3(gpu, ctypes.byref(count), None)
    return {
        "persistence": None if persistence is None else bool(persistence),
        "mig": bool(mig),
        "power_limit_w": limit and limit / 1e3,
        "default_power_limit_w": usual and usual / 1e3,
        "processes": count.value,
    }


def _cuda_of(package: str) -> str | None:
    """Major version of CUDA that a wheel is for, from its requirements: tensorrt-cu13 -> '13'."""
    try:
        lines = importlib.metadata.requires(package) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = re.search(r"cu(\d+)", " ".join(lines))
    return found[1] if found else None


def _device(cuda: ctypes.CDLL, ordinal: int) -> Facts:
    handle, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name, memory = ctypes.create_string_buffer(256), ctypes.c_size_t()
    cuda.cuDeviceGet(ctypes.byref(handle), ordinal)
    cuda.cuDeviceGetName(name, len(name), handle)
    # CUdevice_attribute: COMPUTE_CAPABILITY_MAJOR = 75, COMPUTE_CAPABILITY_MINOR = 76
    cuda.cuDeviceGetAttribute(ctypes.byref(major), 75, handle)
    cuda.cuDeviceGetAttribute(ctypes.byref(minor), 76, handle)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), handle)
    return {
        "name": name.value.decode(errors="replace"),
        "compute_capability": f"{major.value}.{minor.value}",
        "memory_bytes": memory.value or None,
    }


def _driver_version() -> str | None:
    try:
        nvml = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    except OSError:
        return None
    text = ctypes.create_string_buffer(80)  # NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE
    if nvml.nvmlInit_v2() or nvml.nvmlSystemGetDriverVersion(text, len(text)):
        return None
    return text.value.decode(errors="replace")


def _opened(module: str) -> TensorRT:
    """TensorRT as engines are built with it; imported here, since the other probes run without its requirements."""
    from x3ddeploy.bundle.engine_options import Flavour
    from x3ddeploy.tensorrt.trt import open_tensorrt

    return open_tensorrt(Flavour(module), _log)


def _build_engine(tensorrt: TensorRT, *compute_capabilities: str) -> int:
    """Bytes of the tiny model's engine."""
    from x3ddeploy.bundle.engine_options import Batches, BuildOptions
    from x3ddeploy.terms import Precision

    options = BuildOptions(tensorrt.flavour, Precision.FP32, Batches(1, 1, 1), compute_capabilities)
    plan, _ = tensorrt.parse(TINY_MODEL).build(options, None, lambda phase: None)
    return len(plan)


def _log(severity: str, message: str) -> None:
    sys.stderr.write(f"[{severity}] {message}\n")


def _expect_nine(value: Any) -> None:
    if float(value.reshape(-1)[0]) != 9.0:
        raise ArithmeticError(f"computed {value}, expected 9")
