"""What x3ddeploy can do here, why not, and the command that changes it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from x3ddeploy.doctor.install import Installer
from x3ddeploy.doctor.packages import Package, State

# What every verb rests on; with ONNX Runtime, export and its parity check.
BASE = ("torch", "numpy", "onnx", "msgspec")
CORE = (*BASE, "onnxruntime")
VIDEO = ("av", "opencv-python")
MMACTION = ("mmaction2", "mmengine", "mmcv", "importlib-metadata")


class Status(str, Enum):
    """How much of a capability there is."""

    OK = "ok"
    LIMITED = "limited"
    MISSING = "missing"


@dataclass(frozen=True)
class Capability:
    """A verb, or a feature of one.

    Attributes:
        reason: what works, or what stands in the way.
        install: the command that helps; empty if none is needed or none would help.
    """

    name: str
    status: Status
    reason: str
    install: str = ""


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with the installation, whatever still works."""

    message: str
    fix: str


def complaint(package: Package) -> str:
    """What is wrong with a package, in one clause."""
    separator = ": " if package.state is State.BROKEN else " "
    return f"{package.title}{separator}{package.problem}"


def find_capabilities(packages: Mapping[str, Package], installer: Installer) -> list[Capability]:
    """Status of every verb and feature; the first one is the core."""

    def verb(name: str, needs: tuple[str, ...], reason: str) -> Capability:
        lacking = [packages[need] for need in needs if packages[need].state is not State.OK]
        if not lacking:
            return Capability(name, Status.OK, reason)
        return Capability(name, Status.MISSING, _complaints(lacking), installer.command(lacking))

    return [
        verb("export", CORE, "checkpoint to ONNX, with its parity check"),
        verb("quantize", CORE, "FP16, BF16 and INT8 graphs, calibrated and judged"),
        verb("inspect", BASE, "checkpoints, ONNX files, bundles"),
        verb("verify, PyTorch", BASE, packages["torch"].title),
        _onnxruntime(verb("verify, ONNX Runtime", CORE, ""), packages, installer),
        verb("verify, OpenVINO", (*BASE, "openvino"), _openvino_title(packages["openvino"])),
        _bench(verb("bench", CORE, "against PyTorch, ONNX Runtime and OpenVINO"), packages, installer),
        _baseline(verb("bench, RGBPoseConv3D", (*CORE, *MMACTION), packages["mmaction2"].title), packages),
        _tensorrt(packages["tensorrt"], installer),
        _tensorrt_rtx(packages["tensorrt-rtx"], installer),
        verb("synth", VIDEO, "videos of synthetic actions, with keypoints"),
        verb("data", VIDEO, "checks of annotations and their videos"),
        verb("train", (*CORE, *MMACTION, *VIDEO), f"{packages['mmengine'].title} and {packages['mmaction2'].title}"),
        verb("eval, videos", (*CORE, *VIDEO), "accuracy in every runtime that verifies"),
        verb("predict, videos", (*CORE, *VIDEO), "sliding windows over videos with keypoints"),
        verb("predict, Parquet", (*CORE, *VIDEO, "pyarrow"), "rows of predict and eval in Parquet files"),
        verb("predict, Ray", (*CORE, *VIDEO, "ray"), "predict and eval on the machines of a cluster"),
        verb("predict, NVDEC", (*CORE, *VIDEO, "pynvvideocodec"), "videos decoded on an NVIDIA GPU, where one is"),
        verb("explain", (*CORE, *VIDEO), "where a label was seen, and which joints decided"),
        verb("pose", (*VIDEO, "onnxruntime"), "keypoints of persons in videos, by pose models in ONNX"),
        verb("bundle", BASE, "archives for C++ targets"),
        verb("triton", BASE, "model repositories for Triton Inference Server"),
    ]


def find_faults(packages: Mapping[str, Package], installer: Installer) -> list[Fault]:
    """What is wrong whatever still works; a package of the core that is merely missing is the core's own reason."""
    faults = []
    for package in packages.values():
        if package.known.one_of and len(package.installed) > 1:
            both = " and ".join(" ".join(item) for item in package.installed.items())
            faults.append(
                Fault(
                    f"{both} are both installed: they overwrite each other's files in the folder "
                    f"{package.known.module!r}, and which one runs is chance",
                    installer.keep_one(package),
                )
            )
        is_required = package.known.name in installer.requirements.hard and package.known.name not in CORE
        if package.state in (State.BROKEN, State.UNSUPPORTED) or (is_required and package.state is State.MISSING):
            faults.append(Fault(complaint(package), installer.command([package])))
    return faults


def _complaints(packages: Sequence[Package]) -> str:
    missing = [package.known.name for package in packages if package.state is State.MISSING]
    others = [complaint(package) for package in packages if package.state is not State.MISSING]
    return "; ".join([*([f"not installed: {', '.join(missing)}"] if missing else []), *others])


def _onnxruntime(verb: Capability, packages: Mapping[str, Package], installer: Installer) -> Capability:
    if verb.status is not Status.OK:
        return verb
    package = packages["onnxruntime"]
    if len(package.installed) > 1:
        both = " and ".join(package.installed)
        return Capability(verb.name, Status.LIMITED, f"{both} share one folder", installer.keep_one(package))
    opened = [provider.removesuffix("ExecutionProvider") for provider in package.facts.get("providers_opened", ())]
    reason = f"{package.title}, providers that open: {', '.join(opened)}"
    if "CUDAExecutionProvider" in package.facts.get("providers_offered", ()) and "CUDA" not in opened:
        lost = re.search(r"libonnxruntime_providers_cuda\S* with error: (\S+): cannot open", package.log)
        reason += f"; CUDA falls back to the CPU ({f'{lost[1]} not found' if lost else 'it does not open'})"
        help_ = "pip install 'onnxruntime-gpu[cuda,cudnn]'" if installer.gpu.devices else ""
        return Capability(verb.name, Status.LIMITED, reason, help_)
    return Capability(verb.name, Status.OK, reason)


def _bench(verb: Capability, packages: Mapping[str, Package], installer: Installer) -> Capability:
    lacking = [packages[name] for name in ("openvino", "onnxscript") if packages[name].state is not State.OK]
    if verb.status is not Status.OK or not lacking:
        return verb
    left_out = {"openvino": "OpenVINO", "onnxscript": "the plain torch.onnx.export"}
    without = " and ".join(left_out[package.known.name] for package in lacking)
    return Capability(
        verb.name, Status.LIMITED, f"without {without} ({_complaints(lacking)})", installer.command(lacking)
    )


def _baseline(verb: Capability, packages: Mapping[str, Package]) -> Capability:
    if verb.status is not Status.OK or not packages["mmaction2"].facts.get("lacks_drn"):
        return verb
    reason = f"{verb.reason}; its wheel lacks mmaction.models.localizers.drn, which x3ddeploy works around"
    return Capability(verb.name, Status.OK, reason)


def _tensorrt(package: Package, installer: Installer) -> Capability:
    name = "build-trt, TensorRT"
    gpu = installer.gpu
    parts = [f"{package.title} builds engines" if package.facts.get("builds") else package.title]
    if package.state is not State.OK:
        parts = [_complaints([package])]
    if not gpu.devices:
        parts.append("no GPU")
    reason = "; ".join(parts)
    if package.state is State.OK:
        return Capability(name, Status.OK if gpu.devices else Status.LIMITED, reason)
    return Capability(name, Status.MISSING, reason, installer.command([package]) if gpu.devices else "")


def _tensorrt_rtx(package: Package, installer: Installer) -> Capability:
    name = "build-trt, TensorRT-RTX"
    if package.state is not State.OK:
        return Capability(name, Status.MISSING, _complaints([package]), installer.command([package]))
    gpu = "" if installer.gpu.devices else " without a GPU, and cannot run them"
    return Capability(name, Status.OK, f"{package.title} builds engines{gpu}")


def _openvino_title(package: Package) -> str:
    devices = package.facts.get("devices", ())
    return f"{package.title}, devices: {', '.join(devices)}" if devices else package.title
