"""Choosing clips out of a source, and telling whether a choice leaks what accuracy will be measured on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from x3ddeploy.data.annotations import Annotations
from x3ddeploy.errors import UsageError

# NTU RGB+D: setup, camera, performer, replication, action (https://github.com/shahroudy/NTURGB-D).
_NTU_NAME = re.compile(r"S\d{3}C\d{3}(P\d{3})R\d{3}A\d{3}")
_SPLIT = re.compile(r"(?P<protocol>.*?)_?(?P<part>train|val|test)(?P<number>\d*)")

# Protocols whose training and test splits share their subjects by design: cameras, or set-ups, are held out.
_SHARING_SUBJECTS = ("xview", "xset")


def balanced_choice(labels: Sequence[int | None], count: int, seed: int) -> list[int]:
    """Choose clips so that every class comes as often as every other, as far as there are enough of it.

    The choice goes round the classes, in an order drawn anew each round; so each beginning of it is balanced, too.
    Clips without a label are one class. Equal arguments give equal choices, on every machine and version of NumPy.

    Args:
        labels: class of each clip of the source.
        count: clips to choose.
        seed: seed of the draw.

    Returns:
        Indices into `labels`, each at most once, in the order of the draw.

    Raises:
        UsageError: there are not that many clips.
    """
    if not 0 < count <= len(labels):
        raise UsageError(f"{count} clips were asked for, and there are {len(labels)}")
    random = np.random.RandomState(seed)  # the legacy generator: NumPy guarantees its stream
    remaining: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        remaining.setdefault(-1 if label is None else label, []).append(index)
    for label in sorted(remaining):
        remaining[label] = random.permutation(remaining[label]).tolist()
    chosen: list[int] = []
    while len(chosen) < count:
        for label in random.permutation(sorted(remaining)).tolist():
            chosen.append(remaining[label].pop())
            if not remaining[label]:
                del remaining[label]
    return chosen[:count]


def subject_of(frame_dir: str) -> str | None:
    """The performer ('P001') in an NTU RGB+D name such as S001C001P001R001A001; None in other names."""
    match = _NTU_NAME.search(frame_dir)
    return match[1] if match else None


def leaking_names(names: Iterable[str], annotations: Annotations[Any], split: str | None = None) -> tuple[str, ...]:
    """Names, of those given, on which, or on whose subjects, the accuracy of the same protocol is measured.

    Args:
        names: the clips chosen, say for calibration.
        annotations: their file, with its splits.
        split: the split that they were chosen from. Its protocol's val and test splits count as held out: `xsub_val`
            for `xsub_train`. None counts every val and test split.

    Returns:
        Names that are in a held-out split, or, except where subjects are shared by design (xview, xset), show a
        subject of one.
    """
    chosen = tuple(names)
    wanted = _SPLIT.fullmatch(split) if split else None
    held_out: set[str] = set()
    subjects: set[str | None] = set()
    for name, members in annotations.splits.items():
        match = _SPLIT.fullmatch(name)
        if match is None or match["part"] == "train":
            continue
        if wanted and (match["protocol"], match["number"]) != (wanted["protocol"], wanted["number"]):
            continue
        held_out.update(members)
        if not match["protocol"].startswith(_SHARING_SUBJECTS):
            subjects.update(map(subject_of, members))
    subjects.discard(None)
    return tuple(name for name in chosen if name in held_out or subject_of(name) in subjects)
