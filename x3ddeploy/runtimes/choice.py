"""In which runtimes and precisions a bundle is run here, and which are left out, with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from x3ddeploy.bundle import Bundle
from x3ddeploy.errors import BundleError, MissingRequirementError, UsageError
from x3ddeploy.families import family_named
from x3ddeploy.runtimes.registry import (
    REFERENCE,
    RUNTIMES,
    Execution,
    Runtime,
    device_of,
    require,
    runtime_named,
    unsupported,
)
from x3ddeploy.tensorrt.place import build_command, engines_of, flavour_of
from x3ddeploy.terms import Precision, named
from x3ddeploy.text import shell_word


@dataclass(frozen=True)
class Choice:
    """What a bundle is run in, and what it is not run in, with the reason."""

    executions: tuple[Execution, ...]
    left_out: tuple[str, ...]


def choose(
    bundle: Bundle,
    runtimes: Sequence[str] = (),
    device: str | None = None,
    precisions: Iterable[str] = (),
    *,
    here: bool = True,
) -> Choice:
    """Every runtime with every precision that it can run of this bundle.

    Args:
        bundle: an opened bundle.
        runtimes: keys of RUNTIMES. None means all that are installed; engines where the bundle has some.
        device: device for the runtimes that were named; None for the default of each.
        precisions: None means all that the bundle has.
        here: whether runtimes that are named must run on this machine.

    Raises:
        UsageError: no such runtime, device or precision, or a runtime that was named computes in none of those asked.
        MissingRequirementError: what was asked for is not on this machine.
        BundleError: the bundle lacks a precision that was asked for, or has no engine of it that fits this machine.
    """
    wanted = tuple(named(Precision, name) for name in precisions)
    for name in runtimes:
        device_of(runtime_named(name), device)
        if here:
            require(name, device)
    left_out: list[str] = []
    chosen = list(runtimes) or [name for name in RUNTIMES if is_usable(bundle, name, left_out)]
    executions: list[Execution] = []
    for name in chosen:
        runtime = RUNTIMES[name]
        place = device or runtime.default_device
        held, count, problem = _held(bundle, runtime), len(executions), ""
        for precision in wanted or (
            Precision.FP32,
            *(word for word in Precision if word in bundle.manifest.precisions),
        ):
            if problem := unsupported(Execution(name, place, precision)):
                left_out.append(problem)
            elif precision in held:
                if runtime.builds_engines and here:
                    try:
                        runtime.backend().require_engines(bundle, precision, name, place)
                    except BundleError as error:
                        if runtimes:
                            raise
                        left_out.append(": ".join([f"{name} {precision}", error.message, *error.details]))
                        continue
                executions.append(Execution(name, place, precision))
            elif runtimes and wanted:
                if runtime.builds_engines:
                    what, make = "engine", build_command(bundle, precision, flavour_of(name))
                else:
                    what, make = "graph", f"x3ddeploy quantize {shell_word(bundle.path)} --{precision}"
                raise BundleError(f"{bundle.path} has no {precision} {what} for {name}", hint=f"make it with `{make}`")
            else:
                left_out.append(f"{name} {precision}: the bundle has none")
        if runtimes and problem and len(executions) == count:
            raise UsageError(problem, hint="--precision names another")
    return Choice(tuple(executions), tuple(left_out))


def is_usable(bundle: Bundle, name: str, left_out: list[str]) -> bool:
    """Whether a runtime that nobody named takes part; if not, `left_out` receives the reason.

    PyTorch rebuilds the training form, which may need what no bundle needs.
    """
    runtime = RUNTIMES[name]
    if runtime.builds_engines and not _held(bundle, runtime):
        return False
    try:
        require(name)
        if name == REFERENCE.runtime:
            family_named(bundle.manifest.family).require()
    except MissingRequirementError as error:
        left_out.append(f"{name}: {error.message} ({error.hint})")
        return False
    return True


def _held(bundle: Bundle, runtime: Runtime) -> set[Precision]:
    """The precisions that the bundle has for a runtime."""
    if runtime.builds_engines:
        parts = bundle.contract.parts
        return {
            precision
            for precision in Precision
            if any(entry.part in parts for entry in engines_of(bundle, runtime.name, precision))
        }
    return {Precision.FP32, *(word for word in Precision if word in bundle.manifest.precisions)}
