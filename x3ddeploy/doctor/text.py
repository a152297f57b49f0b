"""The report as lines for a terminal; a word or a sign says all that a colour does."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from x3ddeploy import __version__
from x3ddeploy.doctor.capabilities import Status
from x3ddeploy.doctor.packages import Package, State
from x3ddeploy.doctor.report import Report

_GIB = 1 << 30
_INDENT = " " * 13  # as wide as a mark
_NARROW = 12
_MARKS = {
    Status.OK: ("+ ok", "green"),
    Status.LIMITED: ("! limited", "yellow"),
    Status.MISSING: ("- missing", "red"),
}
_STATE_MARKS = {
    State.OK: ("+ ok", "green"),
    State.MISSING: ("- missing", "dim"),
    State.UNSUPPORTED: ("! version", "yellow"),
    State.BROKEN: ("! broken", "red"),
}


class StyledLine(NamedTuple):
    """A line of text; its first `styled` characters (None: all) are in `style`, named in the words of rich."""

    text: str
    style: str = ""
    styled: int | None = None


def render(report: Report, width: int) -> list[StyledLine]:
    """Lay the report out in lines of at most `width` characters (install commands are never broken)."""
    return [
        *_verdict(report),
        *_section("System", _system(report, width)),
        *_section("GPU", _gpu(report, width)),
        *_section("Packages", _packages(report, width)),
        *_section("What works here", _capabilities(report, width)),
        *_section("Faults", _faults(report, width)),
        *_section("Traps: nothing is broken, and a first run on the GPU would mislead", _traps(report, width)),
    ]


def _verdict(report: Report) -> Iterator[StyledLine]:
    if report.core_works:
        yield StyledLine(f"x3ddeploy {__version__}: export and its parity check work here", "bold green")
    else:
        yield StyledLine(f"x3ddeploy {__version__}: export cannot run here", "bold red")


def _section(title: str, lines: Iterator[StyledLine]) -> Iterator[StyledLine]:
    body = list(lines)
    if body:
        yield StyledLine("")
        yield StyledLine(title, "bold")
        yield from body


def _system(report: Report, width: int) -> Iterator[StyledLine]:
    machine = report.machine
    features = "unknown" if machine.cpu_features is None else " ".join(machine.cpu_features) or "no AVX2, no AVX-512"
    of = f" of {machine.cores_total}" if machine.cores_total not in (None, machine.cores_usable) else ""
    rows = {
        "OS": machine.os,
        "Python": f"{machine.python} at {machine.python_executable}",
        "CPU": f"{machine.cpu}, {machine.cores_usable}{of} usable cores",
        "CPU has": features,
        "memory": f"{_gib(machine.memory_bytes)}, {_gib(machine.memory_available_bytes)} available",
        "disk": f"{_gib(machine.disk_free_bytes)} free in {machine.directory or 'a directory that is gone'}, "
        + ("writable" if machine.directory_writable else "NOT writable: choose another place with -o"),
    }
    for label, value in rows.items():
        yield from _row(f"  {label:<9}", value, width)


def _gpu(report: Report, width: int) -> Iterator[StyledLine]:
    gpu = report.gpu
    if gpu.driver or gpu.cuda:
        yield from _row(f"  {'driver':<9}", f"{gpu.driver or 'unknown version'}, serves CUDA {gpu.cuda or '?'}", width)
    for ordinal, device in enumerate(gpu.devices):
        text = f"{device['name']}, compute capability {device['compute_capability']}, {_gib(device['memory_bytes'])}"
        yield from _row(f"  GPU {ordinal:<5}", text, width)
    if gpu.problem:
        yield from _row(f"  {'none':<9}", gpu.problem, width)
    torch = next(package for package in report.packages if package.known.name == "torch")
    if gpu.devices and torch.state is State.OK and not torch.facts.get("cuda_available"):
        yield from _row(f"  {'note':<9}", f"{torch.title} does not see it", width, "yellow")


def _packages(report: Report, width: int) -> Iterator[StyledLine]:
    names = [next(iter(package.installed), package.known.name) for package in report.packages]
    name_width = max(map(len, names))
    version_width = max(len(package.version) for package in report.packages)
    for name, package in zip(names, report.packages, strict=True):
        mark, style = _STATE_MARKS[package.state]
        head = f"  {mark:<11}{name:<{name_width}}  {package.version:<{version_width}}  "
        yield from _row(head, _package_note(package), width, style)
    if report.versions_unchecked:
        yield from _row("  ", f"versions not compared with what x3ddeploy asks for: {report.versions_unchecked}", width)


def _package_note(package: Package) -> str:
    if package.state is State.BROKEN:
        return package.problem
    needs = f"needs {package.required}" if package.required else ""
    others = list(package.installed)[1:]
    return f"and {' and '.join(others)}: see Faults" if package.known.one_of and others else needs


def _capabilities(report: Report, width: int) -> Iterator[StyledLine]:
    name_width = max(len(capability.name) for capability in report.capabilities)
    for capability in report.capabilities:
        mark, style = _MARKS[capability.status]
        yield from _row(f"  {mark:<11}{capability.name:<{name_width}}  ", capability.reason, width, style)
        if capability.install:
            yield StyledLine(f"{_INDENT}{capability.install}", "bold")


def _faults(report: Report, width: int) -> Iterator[StyledLine]:
    for fault in report.faults:
        yield from _row("  ! ", fault.message, width, "red")
        yield StyledLine(f"{'':4}{fault.fix}", "bold")


def _traps(report: Report, width: int) -> Iterator[StyledLine]:
    for trap in report.traps:
        yield from _row("  ! ", trap.message, width, "yellow")
        yield StyledLine(f"{'':4}{trap.fix}", "bold")


def _row(head: str, text: str, width: int, style: str = "") -> Iterator[StyledLine]:
    """`head`, its mark in `style`, then `text` wrapped into the rest, or below it where the rest is too narrow."""
    if not text or width - len(head) < _NARROW:
        yield StyledLine(head.rstrip(), style, len(_INDENT))
        head = _INDENT
        lines = iter(textwrap.wrap(text, width - len(head), break_on_hyphens=False))
    else:
        lines = iter(textwrap.wrap(text, width - len(head), break_on_hyphens=False))
        yield StyledLine(head + next(lines), style, len(_INDENT))
    for line in lines:
        yield StyledLine(" " * len(head) + line)


def _gib(size_bytes: int | None) -> str:
    return "unknown" if size_bytes is None else f"{size_bytes / _GIB:.1f} GiB"
