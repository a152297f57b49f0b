"""`x3ddeploy.verify`: is a bundle what it says, and does it compute right on this machine?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from x3ddeploy.bundle import Bundle
from x3ddeploy.progress import QUIET, Step
from x3ddeploy.runtimes.choice import choose
from x3ddeploy.terms import AnyPath, Precision
from x3ddeploy.verification import Verification, verify_bundle


def verify(
    bundle: AnyPath = "deploy",
    *,
    runtimes: Sequence[str] = (),
    device: str | None = None,
    precisions: Sequence[str | Precision] = (),
    per_block: bool = False,
    tolerance: float | None = None,
    progress: Step = QUIET,
) -> Verification:
    """Compare a bundle with its golden outputs on this machine.

    Nothing is raised for what differs: `Verification.raise_for_failures` does that.

    Args:
        bundle: directory.
        runtimes: names of runtimes; none takes all that are installed, with engines where the bundle has some.
        device: a device of the runtimes that are named; None for the first of each.
        precisions: precisions to verify; none takes all that the bundle has.
        per_block: also compare every block of the backbones.
        tolerance: largest relative error in float32; None for what the export allowed.
        progress: receives each step as a line.

    Raises:
        BundleError: the bundle is not what its manifest says, or lacks a precision that was named.
        GateError: a graph of lower precision is something else than its float32 graph in that precision.
        MissingRequirementError: a runtime that was named, or its device, is not here.
        UsageError: there is no such runtime, device or precision.
    """
    opened = Bundle.open(Path(bundle))
    return verify_bundle(opened, choose(opened, runtimes, device, precisions), per_block, tolerance, progress)
