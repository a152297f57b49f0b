"""The whole examination: one frozen report, the same for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from x3ddeploy import __version__
from x3ddeploy.child_process import ProbeResult, run_probes
from x3ddeploy.doctor.capabilities import (
    Capability,
    Fault,
    Status,
    find_capabilities,
    find_faults,
)
from x3ddeploy.doctor.install import Gpu, Installer
from x3ddeploy.doctor.machine import Machine, examine_machine
from x3ddeploy.doctor.packages import PACKAGES, Known, Package, State, find_package, read_requirements
from x3ddeploy.doctor.traps import Trap, find_traps

SCHEMA_VERSION = 1
# Importing torch from a cold network disk takes tens of seconds; what takes longer than this hangs.
PROBE_TIMEOUT_S = 60.0
_GPU_PROBE = "x3ddeploy.doctor.probes:cuda_driver"
_SETTINGS_PROBE = "x3ddeploy.doctor.probes:gpu_settings"


@dataclass(frozen=True)
class PackageEntry:
    """A package: what was found of it, what x3ddeploy asks for, and what its probe told."""

    name: str
    state: State
    version: str | None
    installed: dict[str, str]
    required: str
    problem: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class DoctorReport:
    """What `x3ddeploy doctor --json` prints, also where msgspec is missing."""

    schema_version: int
    x3ddeploy: str
    core_works: bool
    system: Machine
    gpu: Gpu
    packages: list[PackageEntry]
    versions_unchecked: str
    capabilities: list[Capability]
    faults: list[Fault]
    traps: list[Trap]


@dataclass(frozen=True)
class Report:
    """What this machine is and what works here; see the classes of its parts.

    Attributes:
        versions_unchecked: why versions were not compared with what x3ddeploy asks for; empty if they were.
    """

    machine: Machine
    gpu: Gpu
    packages: tuple[Package, ...]
    capabilities: tuple[Capability, ...]
    faults: tuple[Fault, ...]
    traps: tuple[Trap, ...]
    versions_unchecked: str

    @property
    def core(self) -> Capability:
        """Export and its parity check, what everything else rests on."""
        return self.capabilities[0]

    @property
    def core_works(self) -> bool:
        """Whether export and its parity check can run."""
        return self.core.status is not Status.MISSING

    def document(self) -> DoctorReport:
        """For `--json`."""
        return DoctorReport(
            schema_version=SCHEMA_VERSION,
            x3ddeploy=__version__,
            core_works=self.core_works,
            system=self.machine,
            gpu=self.gpu,
            packages=[_entry(package) for package in self.packages],
            versions_unchecked=self.versions_unchecked,
            capabilities=list(self.capabilities),
            faults=list(self.faults),
            traps=list(self.traps),
        )


def examine(known: Sequence[Known] = PACKAGES, timeout_s: float = PROBE_TIMEOUT_S) -> Report:
    """Examine this machine; every package is tried in a child process, all at the same time.

    Args:
        known: the packages to look for (those of PACKAGES, each with the probe that tries it).
        timeout_s: when a probe counts as hanging.
    """
    requirements = read_requirements()
    found = {item.name: find_package(item, requirements) for item in known}
    probes = {
        name: package.known.probe
        for name, package in found.items()
        if package.known.probe and package.state in (State.OK, State.UNSUPPORTED)
    }
    outcomes = run_probes({probe: probe for probe in (_GPU_PROBE, _SETTINGS_PROBE)} | probes, timeout_s)
    gpu, settings = _gpu(outcomes.pop(_GPU_PROBE)), outcomes.pop(_SETTINGS_PROBE).facts
    packages = {name: _tried(package, outcomes.get(name, ProbeResult())) for name, package in found.items()}
    installer = Installer(requirements, gpu)
    return Report(
        machine=examine_machine(),
        gpu=gpu,
        packages=tuple(packages.values()),
        capabilities=tuple(find_capabilities(packages, installer)),
        faults=tuple(find_faults(packages, installer)),
        traps=tuple(find_traps(packages, gpu, settings)),
        versions_unchecked=requirements.unchecked,
    )


def _tried(package: Package, outcome: ProbeResult) -> Package:
    if outcome.problem:
        return replace(
            package, state=State.BROKEN, problem=outcome.problem, missing_module=outcome.missing_module, log=outcome.log
        )
    return replace(package, facts=outcome.facts, log=outcome.log)


def _gpu(outcome: ProbeResult) -> Gpu:
    if outcome.problem:
        return Gpu(None, None, (), f"asking the CUDA driver failed: {outcome.problem}")
    facts = outcome.facts
    return Gpu(facts["driver"], facts["cuda"], tuple(facts["devices"]), facts["problem"])


def _entry(package: Package) -> PackageEntry:
    return PackageEntry(
        name=package.known.name,
        state=package.state,
        version=package.version or None,
        installed=dict(package.installed),
        required=package.required,
        problem=package.problem if package.state is not State.OK else "",
        facts=dict(package.facts),
    )
