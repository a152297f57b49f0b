"""What spoils a first contact with a GPU though nothing is broken: wrong figures, engines that do not run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from x3ddeploy.doctor.install import Gpu
from x3ddeploy.doctor.packages import Package, State

# Of the environment: value -> what it does. '' stands for any value.
_VARIABLES = {
    "NVIDIA_TF32_OVERRIDE": ("", "it decides over TF32 in every library, whatever a program asks for", "unset {name}"),
    "CUDA_LAUNCH_BLOCKING": ("1", "every launch is waited for: figures mean nothing, CUDA graphs fail", "unset {name}"),
    "CUDA_VISIBLE_DEVICES": (
        "",
        "GPU 0 of CUDA may be another than GPU 0 of nvidia-smi, whose clocks stand beside figures",
        "measure on the first GPU, or unset {name}",
    ),
    "CUDA_MODULE_LOADING": ("EAGER", "all kernels are loaded at the start: minutes and gigabytes", "unset {name}"),
}

_FIRST_WITH_BF16 = 8  # Ampere; TensorRT's support matrix


@dataclass(frozen=True)
class Trap:
    """One of them, and what to do."""

    message: str
    fix: str


def find_traps(
    packages: Mapping[str, Package],
    gpu: Gpu,
    settings: Mapping[str, Any],
    environment: Mapping[str, str] = os.environ,
) -> list[Trap]:
    """The traps that this machine has; without a GPU they are those of TensorRT's version alone.

    Args:
        packages: as examined.
        gpu: what the driver shows.
        settings: facts of `x3ddeploy.doctor.probes:gpu_settings`; empty where NVML does not tell.
        environment: environment variables of the process.
    """
    found = list(_of_tensorrt(packages, gpu))
    if gpu.devices:
        found += [*_of_environment(environment), *_of_settings(settings)]
    return found


def _of_tensorrt(packages: Mapping[str, Package], gpu: Gpu) -> Iterator[Trap]:
    tensorrt = packages["tensorrt"]
    if tensorrt.state is State.OK and not tensorrt.facts.get("strongly_typed", True):
        yield Trap(
            f"{tensorrt.title} reads opset 17 at most, chooses precisions by itself, and gives an engine's profile to "
            "one number of clips unless x3ddeploy built it",
            "x3ddeploy quantize --int8 --opset 17, and build engines with x3ddeploy build-trt",
        )
    cuda, built_for = _major(gpu.cuda), _major(tensorrt.facts.get("cuda"))
    if tensorrt.state is State.OK and cuda and built_for and built_for > cuda:
        yield Trap(
            f"{tensorrt.title} is built for CUDA {built_for}, and the driver serves {gpu.cuda}",
            "a newer driver, or a TensorRT for that CUDA",
        )
    for device in gpu.devices if tensorrt.state is State.OK else ():
        if _major(device["compute_capability"]) < _FIRST_WITH_BF16:
            yield Trap(
                f"{device['name']} (compute capability {device['compute_capability']}) has no bfloat16: TensorRT "
                "builds no engine of such graphs for it",
                "x3ddeploy build-trt --fp16",
            )
    rtx = packages["tensorrt-rtx"]
    known = rtx.facts.get("compute_capabilities", ())
    for device in gpu.devices if rtx.state is State.OK and known else ():
        if device["compute_capability"] not in known:
            yield Trap(
                f"{rtx.title} does not build for {device['name']} (compute capability {device['compute_capability']})",
                "x3ddeploy build-trt without --rtx",
            )


def _of_environment(environment: Mapping[str, str]) -> Iterator[Trap]:
    for name, (value, effect, fix) in _VARIABLES.items():
        given = environment.get(name)
        if given is not None and (given == value or not value):
            yield Trap(f"{name}={given}: {effect}", fix.format(name=name))


def _of_settings(settings: Mapping[str, Any]) -> Iterator[Trap]:
    if settings.get("persistence") is False:
        yield Trap(
            "persistence mode is off: the driver unloads between processes, and each first run begins from cold",
            "nvidia-smi -pm 1 (as root)",
        )
    limit, usual = settings.get("power_limit_w"), settings.get("default_power_limit_w")
    if limit and usual and limit < usual:
        yield Trap(
            f"the power limit is {limit:.0f} W of {usual:.0f} W: figures are not this GPU's",
            f"nvidia-smi -pl {usual:.0f} (as root), or say it beside each figure",
        )
    if settings.get("mig"):
        yield Trap("MIG is on: this is a part of a GPU, and figures are not the whole's", "say it beside each figure")
    if settings.get("processes"):
        yield Trap(
            f"{settings['processes']} other processes compute on it: kernels are chosen and timed in their company",
            "wait until it is free; `nvidia-smi` names them",
        )


def _major(version: Any) -> int:
    match = re.match(r"\d+", str(version or ""))
    return int(match[0]) if match else 0
