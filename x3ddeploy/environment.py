"""An environment variable for as long as a library reads it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

# The environment is the whole process's: of two threads that set and put back the same variable, one would put back
# what the other had set.
_ONE_AT_A_TIME = threading.RLock()


@contextlib.contextmanager
def variable(name: str, value: str) -> Iterator[None]:
    """Sets an environment variable of this process; what was there before comes back. Other threads' blocks wait."""
    with _ONE_AT_A_TIME:
        before = os.environ.get(name)
        os.environ[name] = value
        try:
            yield
        finally:
            if before is None:
                del os.environ[name]
            else:
                os.environ[name] = before
