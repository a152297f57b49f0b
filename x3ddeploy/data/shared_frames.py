"""Frames of one video that several clips are made of: decoded in one pass, each once."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from x3ddeploy.data.prepare import FrameReader
from x3ddeploy.errors import DataError
from x3ddeploy.modalities.crop import Pixels

HELD_BYTES = 1 << 30
_AHEAD = 4  # frames that are decoded before they are asked for


def decoded_ahead(decode: FrameReader) -> Callable[[Sequence[int]], Iterator[Pixels]]:
    """The same frames, each decoded in a thread of its own while what came before it is used."""

    def frames(indices: Sequence[int]) -> Iterator[Pixels]:
        decoded = iter(decode(indices))
        with ThreadPoolExecutor(1, thread_name_prefix="decoder") as pool:
            try:
                waiting = deque(pool.submit(next, decoded, None) for _ in range(_AHEAD))
                while (frame := waiting.popleft().result()) is not None:
                    waiting.append(pool.submit(next, decoded, None))
                    yield frame
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    return frames


class SharedFrames:
    """A reader of frames for clips that overlap, which may be made in several threads.

    Frames that a later clip needs as well are held until it has them, converted once for all. What the pass no longer
    has (a clip that is made again, or after one behind it), and everything once the pass met damage or held too much,
    is decoded anew.

    Args:
        decode: ascending indices, each once, to these frames.
        clips: the frames that each clip will ask for.
        limit_bytes: how much may be held.
    """

    def __init__(self, decode: FrameReader, clips: Iterable[Sequence[int]], limit_bytes: int = HELD_BYTES) -> None:
        self._decode, self._limit_bytes = decode, limit_bytes
        self._uses_left = Counter(number for clip in clips for number in clip)
        self._ahead = deque(sorted(self._uses_left))
        self._pass: Iterator[Pixels] | None = None
        self._held: dict[int, Pixels] = {}
        self._lock = threading.Lock()

    def __call__(self, indices: Sequence[int]) -> Iterator[Pixels]:
        """Frames of ascending indices. Raises what `decode` raises for these."""
        for place, number in enumerate(indices):
            with self._lock:
                frame = self._taken(number)
            if frame is None:
                yield from self._decode(indices[place:])
                return
            yield frame

    def _taken(self, number: int) -> Pixels | None:
        while number not in self._held:
            if not self._ahead or self._ahead[0] > number:  # it was given already, or the pass is over
                return None
            try:
                if self._pass is None:
                    self._pass = iter(self._decode(list(self._ahead)))
                frame, place = next(self._pass), self._ahead.popleft()
                self._held[place] = frame[:, :] if self._uses_left[place] > 1 else frame
            except DataError:
                self._end()
                return None
            if sum(frame.nbytes for frame in self._held.values()) > self._limit_bytes:
                self._end()
                return None
        frame = self._held[number]
        self._uses_left[number] -= 1
        if not self._uses_left[number]:
            del self._held[number]
        return frame

    def _end(self) -> None:
        self._ahead.clear()
        self._held.clear()
