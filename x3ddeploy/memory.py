"""What Python and the C library do about memory in the background, put off while it costs more than it gives."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # glibc's malloc.h
_LARGEST_BLOCK = 32 << 20  # where glibc's own growing threshold ends


@contextlib.contextmanager
def collected_later() -> Iterator[None]:
    """No search for cycles inside: importing and tracing make many objects that stay, and would be looked through again
    and again.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextlib.contextmanager
def kept_by_malloc() -> Iterator[None]:
    """Freed memory stays with the process inside, all threads share it, and afterwards the system gets it back.

    Networks free large tensors and take as large ones a moment later. glibc gives each back to the system, which clears
    every page anew (mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD; M_ARENA_MAX for the sharing). Other C libraries
    are left as they are.
    """
    try:
        library = ctypes.CDLL(None)
        mallopt, malloc_trim = library.mallopt, library.malloc_trim
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        yield
        return
    for parameter, value in ((_MMAP_THRESHOLD, 2**31 - 1), (_TRIM_THRESHOLD, 2**31 - 1), (_ARENA_MAX, 1)):
        mallopt(parameter, value)
    try:
        yield
    finally:
        # As in a process that freed its largest block: the thresholds no longer grow by themselves once they were set.
        for parameter, value in (
            (_MMAP_THRESHOLD, _LARGEST_BLOCK),
            (_TRIM_THRESHOLD, 2 * _LARGEST_BLOCK),
            (_ARENA_MAX, 0),
        ):
            mallopt(parameter, value)
        malloc_trim(0)
