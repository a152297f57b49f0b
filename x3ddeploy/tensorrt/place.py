"""Where an engine lies in a bundle, and whether it fits the machine that wants to load it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from x3ddeploy.bundle import ENGINES, Bundle, EngineEntry
from x3ddeploy.bundle.engine_options import Flavour, HardwareCompatibility
from x3ddeploy.bundle.paths import graph_name
from x3ddeploy.errors import BundleError
from x3ddeploy.terms import Precision
from x3ddeploy.text import shell_word

_TAGS = {Flavour.TENSORRT: "trt", Flavour.RTX: "trtrtx"}
_AMPERE = 8


@dataclass(frozen=True)
class Host:
    """What an engine has to fit.

    Attributes:
        gpu: name, None where there is none.
        compute_capability: 'major.minor' of it.
        driver: version of the NVIDIA driver.
        flavour: TensorRT or TensorRT-RTX.
        version: version of TensorRT.
        strongly_typed: whether it takes the types in a graph as the law.
    """

    gpu: str | None
    compute_capability: str | None
    driver: str | None
    flavour: Flavour
    version: str
    strongly_typed: bool = True


def plan_name(entry: EngineEntry) -> str:
    """'engines/<gpu>-<sm>-trt<version>/<part>.<precision>.plan'; <gpu> is 'any' where it was built without one."""
    gpu = re.sub(r"[^a-z0-9]+", "-", (entry.gpu or "any").lower()).strip("-")
    architectures = "-".join(f"sm{capability.replace('.', '')}" for capability in entry.compute_capabilities)
    options = entry.options
    folder = f"{gpu}-{architectures}-{_TAGS[options.flavour]}{entry.version}"
    return f"{ENGINES}/{folder}/{entry.part}.{options.precision.value}.plan"


def flavour_of(runtime: str) -> Flavour:
    """The builder of the engines that a runtime runs."""
    return Flavour(runtime.replace("-", "_"))


def engines_of(bundle: Bundle, runtime: str, precision: str) -> list[EngineEntry]:
    """What the bundle has for a runtime in a precision, whether it fits this machine or not."""
    return [
        entry
        for entry in bundle.manifest.engines.values()
        if entry.options.flavour is flavour_of(runtime) and entry.options.precision.value == precision
    ]


def engine_path(bundle: Bundle, part: str, precision: Precision, host: Host) -> Path:
    """The plan of a part that may be loaded on this host.

    Raises:
        BundleError: there is none, or each of those that there are was built for something else, was built from
            another graph, or was altered; what it was built on and how to build it again is said.
    """
    manifest = bundle.manifest
    wanted = {
        name: entry
        for name, entry in manifest.engines.items()
        if entry.part == part and entry.options.precision is precision
    }
    rebuild = f"build it here: {build_command(bundle, precision, host.flavour)}"
    if not wanted:
        raise BundleError(f"{bundle.path} has no {precision.value} engine of {part}", hint=rebuild)
    problems = []
    for name, entry in wanted.items():
        problem = misfit(entry, host) or _stale(bundle, entry) or bundle.alteration(name)
        if not problem:
            return bundle.path / name
        problems.append(f"{name}: {problem}")
    raise BundleError(
        f"no {precision.value} engine of {part} in {bundle.path} fits this machine", details=problems, hint=rebuild
    )


def misfit(entry: EngineEntry, host: Host) -> str:
    """Why an engine cannot be loaded on a host, in words; '' where it can."""
    options = entry.options
    if options.flavour is not host.flavour:
        return f"built with {options.flavour.title} {entry.version}, and this is {host.flavour.title} {host.version}"
    if entry.version != host.version and not (options.version_compatible and _may_follow(entry.version, host.version)):
        return f"built with {options.flavour.title} {entry.version}, and {host.version} is installed"
    built_on = f"built for compute capability {', '.join(entry.compute_capabilities)}"
    built_on += f" on {entry.gpu}" if entry.gpu else ""
    if host.compute_capability is None:
        return f"{built_on}, and there is no GPU"
    if host.compute_capability in entry.compute_capabilities:
        return ""
    is_ampere = int(host.compute_capability.partition(".")[0]) >= _AMPERE
    if options.hardware_compatibility is HardwareCompatibility.AMPERE_PLUS and is_ampere:
        return ""
    return f"{built_on}, and this is {host.gpu} of compute capability {host.compute_capability}"


def _may_follow(built: str, installed: str) -> bool:
    """Whether a version-compatible plan may load: in a later version, of the same major one or the one behind it.

    Plans of 8.6 load in 10, those of 10 in 11, and those of 8.6 not in 11; 9 was for few GPUs alone.
    """
    before, after = (tuple(map(int, re.findall(r"\d+", version))) for version in (built, installed))
    behind = 10 if before[0] in (8, 9) else before[0] + 1
    return after >= before and before[0] <= after[0] <= behind


def build_command(bundle: Bundle, precision: Precision, flavour: Flavour) -> str:
    """The command that builds the engines of a precision."""
    flag = "" if precision is Precision.FP32 else f" --{precision}"
    return f"x3ddeploy build-trt {shell_word(bundle.path)}{flag}{' --rtx' if flavour is Flavour.RTX else ''}"


def _stale(bundle: Bundle, entry: EngineEntry) -> str:
    graph = graph_name(entry.part, entry.options.precision.value)
    file = bundle.manifest.files.get(graph)
    if file is None or file.sha256 != entry.graph_sha256:
        return f"built from another {graph} than the bundle holds now"
    return ""
