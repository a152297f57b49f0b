"""What every process needs that runs what may crash: a driver, a parser, a first load."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1  # Linux: prctl(2)
_LOOK_EVERY_S = 1.0


def end_with_parent(parent: int) -> None:
    """In the child: end when the parent ends, however that ends, SIGKILL included.

    Args:
        parent: id of the process that started this one; it may be gone by now.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    os._exit(1)


def forbid_core_dumps() -> None:
    """In the child: a crash must not leave a gigabyte in the user's directory."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def describe_exit(code: int) -> str:
    """In the parent: what `subprocess` means by a return code, in words."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"crashed with {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
