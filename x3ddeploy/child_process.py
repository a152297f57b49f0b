"""What every process needs that runs what may crash: a driver, a parser, a first load."""

from __future__ import annotations

import contextlib
import signal


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
