"""Python's search for unreachable cycles of objects, put off while much is made that stays."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def collected_later() -> Iterator[None]:
    """No search for cycles inside: importing and tracing make a million objects that stay, and a seventh of their time
    goes into looking through them again and again.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
