"""Configure and build C++ projects."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.present import present

ROOT = Path(__file__).parents[2]
CPP = ROOT / "cpp"
# Wheels put their programs beside the interpreter; a virtual environment need not be activated.
PATH = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
ONNXRUNTIME = Path(sys.prefix) / "onnxruntime"  # filled by `make test`
HAS_ONNXRUNTIME = (ONNXRUNTIME / "include").exists()
# Half the time; what computes on pixels and joints is compiled with -O3 all the same.
LESS_OPTIMISED = "-DCMAKE_CXX_FLAGS_RELEASE=-Og -DNDEBUG"
# The standard library's headers, and what is made of its templates, are most of the work: a target is one file. GCC
# looks less often for garbage in what it has in memory meanwhile.
FEWER_COMPILATIONS = [
    "-DCMAKE_UNITY_BUILD=ON",
    "-DCMAKE_UNITY_BUILD_BATCH_SIZE=0",
    "-DCMAKE_CXX_FLAGS=--param ggc-min-expand=400 --param ggc-min-heapsize=1000000",
]


def require_tools():
    """The C++ compiler; skips where C++ cannot be built."""
    if shutil.which("cmake", path=PATH) is None:
        pytest.skip("cmake is not installed (pip install cmake)")
    compilers = (shutil.which(name, path=PATH) for name in ("c++", "g++", "clang++"))
    compiler = next(filter(None, compilers), None)
    if compiler is None:
        pytest.skip("no C++ compiler (Debian: g++)")
    return compiler


def with_runtimes():
    """Arguments that build with OpenVINO's wheel, and with ONNX Runtime where `make` could get its headers.

    Skips where OpenVINO is not installed.
    """
    spec = importlib.util.find_spec("openvino")
    if spec is None:
        pytest.skip("OpenVINO is not installed")
    (folder,) = map(Path, present(spec.submodule_search_locations))
    return [
        "-DX3DDEPLOY_OPENVINO=ON",
        "-DX3DDEPLOY_TENSORRT=OFF",
        f"-DX3DDEPLOY_ONNXRUNTIME={'ON' if HAS_ONNXRUNTIME else 'OFF'}",
        f"-DX3DDEPLOY_ONNXRUNTIME_ROOT={ONNXRUNTIME}",
        f"-DOpenVINO_DIR={folder / 'cmake'}",
    ]


def checked(*command, cwd=None, timeout=900):
    process = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, "PATH": PATH},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert process.returncode == 0, f"{command}\n{process.stdout[-4000:]}\n{process.stderr[-4000:]}"
    return process


def generator():
    return ["-G", "Ninja"] if shutil.which("ninja", path=PATH) else []


def configure_and_build(source, build, arguments, targets=()):
    require_tools()
    checked("cmake", "-S", source, "-B", build, *generator(), *arguments)
    checked("cmake", "--build", build, "--parallel", "2", *(["--target", *targets] if targets else []))
    return build
