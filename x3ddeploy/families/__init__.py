"""Networks, a room each, and who they are by name. A stage of the toolchain imports none of them by itself.

A family is imported when it is asked for, so that `x3ddeploy --help` imports none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from x3ddeploy.errors import BundleError, X3DDeployError

if TYPE_CHECKING:
    from x3ddeploy.families.base import Baseline, Family

# Name -> 'module:object', or the family itself.
FAMILIES: dict[str, str | Family] = {
    "two_stream_x3d": "x3ddeploy.families.two_stream_x3d.family:TWO_STREAM_X3D",
    "epamnet": "x3ddeploy.families.epamnet.family:EPAMNET",
    "posec3d": "x3ddeploy.families.posec3d.family:POSEC3D",
    "rgbposeconv3d": "x3ddeploy.families.rgbposeconv3d.family:RGBPOSECONV3D",
    "stgcn": "x3ddeploy.families.stgcn.family:STGCN",
    "skeleton_streams": "x3ddeploy.families.skeleton_streams.family:STREAMS_FAMILY",
    "tsn": "x3ddeploy.families.tsn.family:TSN",
    "tsm": "x3ddeploy.families.tsm.family:TSM",
    "c2d": "x3ddeploy.families.c2d.family:C2D",
    "tanet": "x3ddeploy.families.tanet.family:TANET",
    "trn": "x3ddeploy.families.trn.family:TRN",
    "slowonly": "x3ddeploy.families.slowonly.family:SLOWONLY",
    "slowfast": "x3ddeploy.families.slowfast.family:SLOWFAST",
    "i3d": "x3ddeploy.families.i3d.family:I3D",
    "r2plus1d": "x3ddeploy.families.r2plus1d.family:R2PLUS1D",
    "c3d": "x3ddeploy.families.c3d.family:C3D",
    "x3d": "x3ddeploy.families.x3d.family:X3D",
    "csn": "x3ddeploy.families.csn.family:CSN",
    "tpn": "x3ddeploy.families.tpn.family:TPN",
    "omnisource": "x3ddeploy.families.omnisource.family:OMNISOURCE",
}
# Family of networks that can be streams of one network -> the family that this one is of.
JOINED = {"stgcn": "skeleton_streams"}
# Networks that every bundle is timed against, a family's each: name -> 'module:object'.
BASELINES = {"rgbposeconv3d": "x3ddeploy.families.rgbposeconv3d.baseline:PUBLISHED"}
# Other packages bring families as entry points of this group: name = "module:object".
GROUP = "x3ddeploy.families"


def register(family: Family) -> None:
    """Make a family known, in the place of one of the same name."""
    FAMILIES[family.name] = family


def known_families() -> tuple[str, ...]:
    """Names of all families: those of this package first, then those that other installed packages bring."""
    return tuple(dict.fromkeys([*FAMILIES, *sorted(entry.name for entry in entry_points(group=GROUP))]))


def is_known(name: str) -> bool:
    """Whether a family of that name is here; other packages are asked, which takes milliseconds, for others' names."""
    return name in FAMILIES or name in known_families()


def family_named(name: str) -> Family:
    """The family that a bundle or a graph names.

    Raises:
        BundleError: it is not known here.
        X3DDeployError: another package brings it, and it cannot be imported.
    """
    if name not in FAMILIES:
        return _brought(name)
    known = FAMILIES[name]
    if isinstance(known, str):
        module, _, attribute = known.partition(":")
        family: Family = getattr(import_module(module), attribute)
        return family
    return known


def baseline_named(name: str) -> Baseline:
    """A network of BASELINES; PyTorch is imported."""
    module, _, attribute = BASELINES[name].partition(":")
    baseline: Baseline = getattr(import_module(module), attribute)
    return baseline


def _brought(name: str) -> Family:
    """A family of another package, by its entry point."""
    entry = next(iter(entry_points(group=GROUP, name=name)), None)
    if entry is None:
        raise BundleError(
            f"the network's family {name!r} is not known",
            hint=f"known here: {', '.join(known_families())}; use the version of x3ddeploy that made the file, or "
            "install the package that brings the family",
        )
    package = entry.dist.name if entry.dist else entry.module
    try:
        family: Family = entry.load()
    except Exception as error:  # whatever another package raises while it is imported
        raise X3DDeployError(
            f"the family {name!r} of the package {package} cannot be imported: {type(error).__name__}: {error}",
            hint="update that package, or uninstall it",
        ) from error
    if family.name != name:
        raise X3DDeployError(
            f"the package {package} brings the family {family.name!r} under the name {name!r}",
            hint="update that package, or uninstall it",
        )
    return family


def family_of(keys: Collection[str], config: Mapping[str, Any] | None) -> Family | None:
    """The family that claims weights of these names, trained by that config (None where it is not known)."""
    return next((family for family in map(family_named, known_families()) if family.claims(keys, config)), None)
