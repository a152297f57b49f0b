"""Which runtimes and precisions a bundle is evaluated in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from x3ddeploy.bundle import Bundle, sha256_of
from x3ddeploy.errors import BundleError
from x3ddeploy.runtimes.base import RUNTIMES, Session, available_runtimes, open_session, require

PART = "recognizer"
PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class Target:
    """A runtime and the precision of the graph that it runs."""

    runtime: str
    precision: str

    def __str__(self) -> str:
        return f"{self.runtime} {self.precision}"


# PyTorch rebuilds the training-form network from the float32 graph's weights: it knows no other precision.
REFERENCE = Target("torch", "fp32")


@dataclass(frozen=True)
class Choice:
    """What is evaluated, the reference first, and what is not, with the reason."""

    targets: tuple[Target, ...]
    left_out: tuple[str, ...]


def choose_targets(bundle: Bundle, runtimes: Sequence[str], precisions: Sequence[str]) -> Choice:
    """Every runtime with every precision, beside the reference.

    Args:
        bundle: opened.
        runtimes: keys of RUNTIMES; none means all that are installed.
        precisions: of PRECISIONS; none means all that the bundle has.

    Raises:
        UsageError: no such runtime.
        MissingRequirementError: a runtime that was asked for is not installed.
        BundleError: the bundle lacks a precision that was asked for.
    """
    for runtime in runtimes:
        require(runtime)
    left_out, explicit = [], tuple(runtimes)
    if not runtimes:
        runtimes = available_runtimes()
        left_out = [f"{name}: not installed ({RUNTIMES[name][1]})" for name in RUNTIMES if name not in runtimes]
    if not precisions:
        precisions = ["fp32", *(name for name in PRECISIONS if name in bundle.manifest.precisions)]
        others = [name for name in bundle.manifest.precisions if name not in PRECISIONS]
        left_out += [f"{name}: runs in no runtime here" for name in others]
    for precision in precisions:
        bundle.part_path(PART, precision)
    asked = [Target(runtime, precision) for precision in precisions for runtime in runtimes]
    if REFERENCE.runtime in explicit:
        lower = [precision for precision in precisions if precision != REFERENCE.precision]
        left_out += [f"torch {precision}: PyTorch is the reference, in fp32 only" for precision in lower]
    usable = [target for target in asked if target.runtime != REFERENCE.runtime]
    return Choice(tuple(dict.fromkeys([REFERENCE, *usable])), tuple(left_out))


def open_target(bundle: Bundle, target: Target) -> Session:
    """A session on the bundle's recognizer.

    Raises:
        BundleError: the graph is not there, or not what the manifest says.
    """
    path = bundle.part_path(PART, target.precision)
    if not path.is_file() or sha256_of(path) != bundle.manifest.files[path.relative_to(bundle.path).as_posix()].sha256:
        raise BundleError(f"{path} is missing or is not what the manifest says", hint="export again")
    return open_session(target.runtime, path)
