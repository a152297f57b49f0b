"""The packages x3ddeploy can use: which are here, in which version, and whether that is the version it asks for."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

_PROBES = "x3ddeploy.doctor.probes"


@dataclass(frozen=True)
class Known:
    """A package that some feature uses.

    Attributes:
        name: what users call it.
        module: what is imported.
        distributions: what may be installed to get the module; the first is the one to install.
        one_of: whether the distributions overwrite each other's files, so that only one may be installed.
        extra: x3ddeploy's extra that brings it with its companions.
        index: a package index that it needs besides the usual one.
        probe: "module:function" that tries it in a child process.
    """

    name: str
    module: str
    distributions: tuple[str, ...] = ()
    one_of: bool = False
    extra: str = ""
    index: str = ""
    probe: str = ""


PACKAGES = (
    Known("numpy", "numpy", probe=f"{_PROBES}:numpy_works"),
    Known("torch", "torch", probe=f"{_PROBES}:torch_works"),
    Known("onnx", "onnx", probe=f"{_PROBES}:onnx_works"),
    Known(
        "onnxruntime",
        "onnxruntime",
        ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml"),
        one_of=True,
        probe=f"{_PROBES}:onnxruntime_works",
    ),
    Known("msgspec", "msgspec"),
    Known("click", "click"),
    Known("jinja2", "jinja2"),
    Known("rich", "rich"),
    Known("openvino", "openvino", extra="openvino", probe=f"{_PROBES}:openvino_works"),
    Known("onnxscript", "onnxscript"),
    Known("mmaction2", "mmaction", extra="mmaction", probe=f"{_PROBES}:rgbposeconv3d_works"),
    Known("mmengine", "mmengine", extra="mmaction"),
    Known("mmcv", "mmcv", ("mmcv-lite", "mmcv"), one_of=True, extra="mmaction"),
    Known("importlib-metadata", "importlib_metadata", extra="mmaction"),
    Known(
        "tensorrt",
        "tensorrt",
        ("tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-cu13-bindings", "tensorrt-cu12-bindings"),
        index="https://pypi.nvidia.com",
        probe=f"{_PROBES}:tensorrt_works",
    ),
    Known(
        "tensorrt-rtx",
        "tensorrt_rtx",
        ("tensorrt-rtx", "tensorrt-rtx-cu13", "tensorrt-rtx-cu12"),
        extra="tensorrt-rtx",
        probe=f"{_PROBES}:tensorrt_rtx_works",
    ),
    Known("polygraphy", "polygraphy", extra="tensorrt-rtx"),
    Known("av", "av", extra="video"),
    Known("opencv-python", "cv2", ("opencv-python", "opencv-contrib-python", "opencv-python-headless"), extra="video"),
    Known("matplotlib", "matplotlib", extra="plot"),
    Known("pyarrow", "pyarrow", extra="parquet"),
    Known("ray", "ray", extra="ray"),
    Known("pynvvideocodec", "PyNvVideoCodec", extra="nvdec"),
)


class State(str, Enum):
    """What a package is worth here."""

    OK = "ok"
    MISSING = "missing"
    UNSUPPORTED = "unsupported"  # works or not: the version is not one that x3ddeploy asks for
    BROKEN = "broken"  # installed, and fails when it is used


@dataclass(frozen=True)
class Package:
    """A known package as found here.

    Attributes:
        installed: {distribution: version}; more than one where several provide the module.
        required: the versions x3ddeploy asks for, e.g. ">=1.16"; empty if any will do or nothing is known.
        problem: why it is not ok, in words.
        missing_module: the module that it failed to find when it was used.
        facts: what its probe found.
        log: what its probe wrote on the way.
    """

    known: Known
    state: State
    installed: Mapping[str, str] = field(default_factory=dict)
    required: str = ""
    problem: str = ""
    missing_module: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    log: str = ""

    @property
    def version(self) -> str:
        """Version of the distribution that counts; empty if there is none."""
        return next(iter(self.installed.values()), "")

    @property
    def title(self) -> str:
        """The installed distribution and its version, or the package's name."""
        return " ".join(next(iter(self.installed.items()), (self.known.name,)))


@dataclass(frozen=True)
class Requirements:
    """What x3ddeploy's own metadata asks for.

    Attributes:
        ranges: {normalised distribution name: version specifier}.
        hard: the distributions that no extra guards.
        unchecked: why versions cannot be compared with their ranges; empty if they can.
    """

    ranges: Mapping[str, str]
    hard: frozenset[str]
    unchecked: str

    def accept(self, distribution: str, version: str) -> bool:
        """Whether this version is one that x3ddeploy asks for (True where that cannot be said)."""
        specifier = self.ranges.get(distribution, "")
        if self.unchecked or not specifier:
            return True
        from packaging.specifiers import SpecifierSet
        from packaging.version import InvalidVersion

        try:
            return SpecifierSet(specifier).contains(version, prereleases=True)
        except InvalidVersion:  # a private build with a name of its own
            return True


def read_requirements() -> Requirements:
    """Read the requirements of the installed x3ddeploy."""
    unchecked = "" if is_importable("packaging") else "the package 'packaging' is not installed"
    try:
        lines = importlib.metadata.requires("x3ddeploy") or []
    except importlib.metadata.PackageNotFoundError:
        return Requirements({}, frozenset(), "x3ddeploy itself is not installed, it only lies on Python's path")
    ranges: dict[str, str] = {}
    hard = set()
    for line in lines:
        match = re.match(r"([\w.-]+)(?:\[[^]]*])?\s*\(?([^;)]*)\)?\s*(;.*)?$", line)
        if match is None or match[1] == "x3ddeploy":
            continue
        ranges[_normalised(match[1])] = match[2].strip()
        if not match[3]:
            hard.add(_normalised(match[1]))
    return Requirements(ranges, frozenset(hard), unchecked)


def find_package(known: Known, requirements: Requirements) -> Package:
    """Look for a package without importing it."""
    candidates = known.distributions or (known.name,)
    installed = {name: version for name in candidates if (version := _installed_version(name))}
    distribution = next(iter(installed), candidates[0])
    required = requirements.ranges.get(distribution, "")
    if not is_importable(known.module):
        if installed:
            problem = f"its metadata is here and its module {known.module!r} is not"
            return Package(known, State.BROKEN, installed, required, problem)
        return Package(known, State.MISSING, installed, required, "is not installed")
    if installed and not requirements.accept(distribution, installed[distribution]):
        return Package(known, State.UNSUPPORTED, installed, required, f"is not {required}")
    return Package(known, State.OK, installed, required)


def is_importable(module: str) -> bool:
    """Whether a top-level module can be found (it is not imported).

    A folder without code, such as an uninstalled package leaves behind, has no origin and does not count.
    """
    try:
        spec = importlib.util.find_spec(module)
        return spec is not None and spec.origin is not None
    except (ImportError, ValueError):  # a finder that refuses; a module without a spec
        return False


def _installed_version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution) or ""
    except importlib.metadata.PackageNotFoundError:
        return ""


def _normalised(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
