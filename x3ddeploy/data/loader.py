"""Loading clips ahead of their use, in order and with bounded memory, and measuring how long their user waited."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from x3ddeploy.data.sources.base import ClipSource, LabelledClip
from x3ddeploy.errors import DataError

# What is loaded ahead may take so much; thirty views of a video of a 3-D network are 0.8 GB.
AHEAD_BYTES = 2 << 30


@dataclass
class LoadingTime:
    """Where the time went between the first clip asked for and the last one used.

    Attributes:
        waiting_s: spent waiting for a clip that was not there yet.
        total_s: from the first request to the end, or to the latest clip.
    """

    waiting_s: float = 0.0
    total_s: float = 0.0

    @property
    def waiting_share(self) -> float:
        """0 where loading kept up all the time, 1 where nothing else took time."""
        return self.waiting_s / self.total_s if self.total_s else 0.0


@dataclass(frozen=True)
class SkippedClip:
    """A clip that could not be loaded, and why."""

    name: str
    reason: str


class ClipStream(Iterator[LabelledClip]):
    """The clips of `iterate_clips`, as they come.

    Attributes:
        time: how long the user of the clips waited for them.
        skipped: clips that could not be loaded so far, in order; empty unless skipping was asked for.
    """

    def __init__(
        self,
        source: ClipSource,
        indices: Sequence[int],
        workers: int,
        prefetch: int,
        on_error: Literal["raise", "skip"],
    ) -> None:
        self.time = LoadingTime()
        self.skipped: list[SkippedClip] = []
        self._source, self._indices, self._on_error = source, list(indices), on_error
        self._workers, self._ahead = workers, max(workers, prefetch)
        self._allowed = workers  # until the first clip shows how large they are
        self._clips = self._load()
        self._started: float | None = None

    def __next__(self) -> LabelledClip:
        asked = time.perf_counter()
        self._started = asked if self._started is None else self._started
        try:
            return next(self._clips)
        finally:
            now = time.perf_counter()
            self.time.waiting_s += now - asked
            self.time.total_s = now - self._started

    def close(self) -> None:
        """Stop loading; what is not under way is not begun. Needed only where the clips are not used to their end."""
        self._clips.close()

    def _load(self) -> Generator[LabelledClip, None, None]:
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="clips")
        waiting: deque[tuple[int, Future[LabelledClip]]] = deque()
        remaining = iter(self._indices)
        try:
            while True:
                while len(waiting) < self._allowed and (index := next(remaining, None)) is not None:
                    waiting.append((index, pool.submit(self._source.load, index)))
                if not waiting:
                    return
                clip = self._result(*waiting.popleft())
                if clip is not None:
                    size = sum(value.nbytes for value in clip.inputs.values())
                    self._allowed = max(1, min(self._ahead, AHEAD_BYTES // max(size, 1)))
                    yield clip
                    del clip  # else it would stay in memory while the next one is waited for
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _result(self, index: int, loading: Future[LabelledClip]) -> LabelledClip | None:
        try:
            return loading.result()
        except DataError as error:
            if self._on_error == "raise":
                raise
            self.skipped.append(SkippedClip(self._source.names()[index], str(error)))
            return None


def iterate_clips(
    source: ClipSource,
    indices: Sequence[int] | None = None,
    *,
    workers: int = 2,
    prefetch: int = 4,
    on_error: Literal["raise", "skip"] = "raise",
) -> ClipStream:
    """Load clips in threads (decoding, cropping and drawing release the GIL for most of their time), in order.

    At most max(workers, prefetch) clips are in memory beside the one in use, and fewer where they are large.

    Args:
        source: source of the clips.
        indices: which, in which order; None for all.
        workers: threads that load.
        prefetch: clips that are loaded, or being loaded, ahead.
        on_error: whether a clip that cannot be loaded ends the iteration, or is skipped and put on the stream's list
            `skipped` with its reason.

    Raises:
        DataError: from the iteration, where a clip cannot be loaded and none is to be skipped.
    """
    return ClipStream(source, range(len(source)) if indices is None else indices, workers, prefetch, on_error)
