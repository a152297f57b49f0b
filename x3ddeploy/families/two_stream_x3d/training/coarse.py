"""From a class to its coarse class, as data."""

from __future__ import annotations

from collections.abc import Sequence

from x3ddeploy.errors import UsageError

# First class of each coarse class, by (classes, coarse classes): NTU RGB+D 60, and the body parts of MA-52
# (https://github.com/VUT-HFUT/Micro-Action).
_FIRST_CLASS = {
    (60, 8): (0, 10, 20, 30, 40, 45, 50, 55),
    (52, 7): (0, 5, 11, 24, 32, 38, 48),
}


def coarse_map(classes: int, coarse_classes: int, coarse_of: Sequence[int] | None) -> tuple[int, ...]:
    """The coarse class of each class.

    Args:
        classes: number of classes.
        coarse_classes: number of coarse classes.
        coarse_of: the map where the config gives one, `classes` integers in 0..coarse_classes-1; else that of the
            published data set with these numbers.

    Raises:
        UsageError: the map is missing and not known, has another length, or a coarse class outside or unused.
    """
    if coarse_of is None:
        firsts = _FIRST_CLASS.get((classes, coarse_classes))
        if firsts is None:
            raise UsageError(
                f"which of the {coarse_classes} coarse classes each of the {classes} classes belongs to is not known",
                hint=f"give cls_head coarse_of=[...]: {classes} integers in 0..{coarse_classes - 1}",
            )
        return tuple(sum(label >= first for first in firsts) - 1 for label in range(classes))
    if len(coarse_of) != classes:
        raise UsageError(f"cls_head coarse_of has {len(coarse_of)} values for {classes} classes")
    if sorted(set(coarse_of)) != list(range(coarse_classes)):
        raise UsageError(
            f"cls_head coarse_of names the coarse classes {sorted(set(coarse_of))}",
            hint=f"each of 0..{coarse_classes - 1} (num_coarse_classes) must occur, and no other",
        )
    return tuple(coarse_of)
