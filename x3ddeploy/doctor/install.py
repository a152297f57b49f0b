"""The pip commands that repair what is missing, for this machine: its GPU decides which builds to take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from x3ddeploy.doctor.packages import PACKAGES, Package, Requirements, State


@dataclass(frozen=True)
class Gpu:
    """What the CUDA driver says.

    Attributes:
        driver: version of the NVIDIA driver.
        cuda: the newest CUDA version that the driver serves.
        devices: name, compute_capability and memory_bytes of each.
        problem: why there is no device; empty if there is one.
    """

    driver: str | None
    cuda: str | None
    devices: tuple[Mapping[str, Any], ...]
    problem: str


@dataclass(frozen=True)
class Installer:
    """Writes pip commands.

    Attributes:
        requirements: the versions to ask for.
        gpu: decides which ONNX Runtime and which TensorRT to take.
    """

    requirements: Requirements
    gpu: Gpu

    def command(self, packages: Iterable[Package]) -> str:
        """One command that repairs all of these packages; empty for none."""
        packages = tuple(packages)
        if not packages:
            return ""
        # pip adds a dependency that is missing without being forced; files that are damaged it does not see.
        damaged = any(package.state is State.BROKEN and not _lacks_another(package) for package in packages)
        indexes = dict.fromkeys(package.known.index for package in packages if package.known.index)
        return " ".join(
            [
                "pip install",
                *(["--force-reinstall"] if damaged else []),
                *(f"--extra-index-url {index}" for index in indexes),
                *dict.fromkeys(self._target(package) for package in packages),
            ]
        )

    def keep_one(self, package: Package) -> str:
        """Remove all distributions that share one folder, and install the right one."""
        return f"pip uninstall -y {' '.join(package.installed)} && pip install {self._choice(package)}"

    def _target(self, package: Package) -> str:
        if _lacks_another(package):
            companion = _known_distribution(package.missing_module)
            if companion:
                return self._requirement(companion)
        if package.known.extra and package.state is State.MISSING and self.requirements.ranges:
            return f"'x3ddeploy[{package.known.extra}]'"
        if package.installed:
            return self._requirement(next(iter(package.installed)))
        return self._choice(package)

    def _choice(self, package: Package) -> str:
        """The distribution to install where there is none yet."""
        if package.known.name == "onnxruntime":
            return self._requirement("onnxruntime-gpu" if self.gpu.devices else "onnxruntime")
        if package.known.name == "tensorrt" and self.gpu.cuda:
            return "tensorrt-cu13" if int(self.gpu.cuda.partition(".")[0]) >= 13 else "tensorrt-cu12"
        return self._requirement((package.known.distributions or (package.known.name,))[0])

    def _requirement(self, distribution: str) -> str:
        specifier = self.requirements.ranges.get(distribution, "")
        return f"'{distribution}{specifier}'" if specifier else distribution


def _lacks_another(package: Package) -> bool:
    """Whether it fails because another package is missing, and not a part of itself."""
    top = package.missing_module.partition(".")[0]
    return bool(top) and top != package.known.module


def _known_distribution(module: str) -> str:
    """What to install for a module; empty if that is not known (a module's name says little: PIL is pillow)."""
    top = module.partition(".")[0]
    for known in PACKAGES:
        if known.module == top:
            return (known.distributions or (known.name,))[0]
    return ""
