"""TensorRT's wheels of bindings, importable without TensorRT's libraries: these are on NVIDIA's index, some gigabytes.

The bindings take few functions of the libraries; a library in which each gives nothing stands in for all of them.
Classes, enumerations and signatures can be read then, and nothing can be run.
"""

import subprocess
import zipfile
from pathlib import Path

# Undefined in tensorrt.so of 8.6.0, 10.16.1.11 and 11.4.0.106 (nm -D --undefined-only).
_FUNCTIONS = (
    "createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL",
    "createNvOnnxParser_INTERNAL", "createNvOnnxParserRefitter_INTERNAL", "getBuilderPluginRegistry",
    "getNvOnnxParserVersion", "getPluginRegistry", "initLibNvInferPlugins",
    "_ZN11nvuffparser15createUffParserEv", "_ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi",
    "_ZN14nvcaffeparser117createCaffeParserEv", "_ZN14nvcaffeparser123shutdownProtobufLibraryEv",
)  # fmt: skip
_LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser", "nvparsers")
FOLDER = Path(__file__).parents[2] / "build" / "bindings"  # `make bindings` fills it


def wheels():
    """What `make bindings` has brought: 'major.minor' of the version -> the wheel."""
    found = {}
    for path in FOLDER.glob("*.whl"):
        version = path.name.split("-")[1]
        found[".".join(version.split(".")[:2])] = path
    return found


def unpacked(wheel, folder):
    """Environment variables with which the wheel's package can be imported, and the package's name."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith("tensorrt") and name.endswith((".py", "t.so"))]
        archive.extractall(folder, names)
    package = names[0].partition("/")[0]
    source, stub = folder / "stub.c", folder / "stub.so"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in _FUNCTIONS))
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", stub, source], check=True)
    major = wheel.name.split("-")[1].partition(".")[0]
    for name in _LIBRARIES:
        (folder / f"lib{name}.so.{major}").symlink_to(stub)
    return {"PYTHONPATH": str(folder), "LD_LIBRARY_PATH": str(folder)}, package
