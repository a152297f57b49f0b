"""Clips that are gone through more than once: kept in memory as far as they fit, loaded again where not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from x3ddeploy.calibration.choice import Chosen
from x3ddeploy.runtimes.base import Array

KEPT_BYTES = 1 << 30


class ReusedClips:
    """The inputs of some clips, in order, any number of times.

    Args:
        chosen: the clips.
        limit_bytes: how much of them stays in memory.
    """

    def __init__(self, chosen: Chosen, limit_bytes: int = KEPT_BYTES) -> None:
        self._chosen, self._limit_bytes = chosen, limit_bytes
        self._kept: list[Mapping[str, Array]] = []
        self._kept_bytes = 0

    def names(self) -> list[str]:
        """Of the clips."""
        return self._chosen.names()

    def __iter__(self) -> Iterator[Mapping[str, Array]]:
        yield from self._kept
        for clip in self._chosen.load(start=len(self._kept)):
            size = sum(value.nbytes for value in clip.inputs.values())
            if self._kept_bytes + size <= self._limit_bytes:
                self._kept.append(clip.inputs)
                self._kept_bytes += size
            else:
                self._limit_bytes = self._kept_bytes  # what is kept is a beginning of the clips
            yield clip.inputs
