"""A command that is killed, or a disk that is full, at the n-th call that changes the disk; for every n in turn."""

import contextlib
import errno
import os
from unittest import mock

from x3ddeploy import exchange

# Of os; pathlib, tempfile and shutil call them by these names.
CHANGING = ("open", "write", "fsync", "replace", "rename", "link", "unlink", "mkdir", "rmdir", "chmod")
# These can be refused for want of space.
GROWING = ("open", "write", "fsync", "replace", "rename", "link", "mkdir")


class Counter:
    """Lets calls through, and fails the n-th and all that come after it."""

    def __init__(self, at, error, names=CHANGING):
        self.at, self.error, self.names, self.calls = at, error, names, 0

    @contextlib.contextmanager
    def watching(self):
        with contextlib.ExitStack() as stack:
            for name in self.names:
                stack.enter_context(mock.patch.object(os, name, self._watched(name, getattr(os, name))))
            original = exchange.exchange_in_one_call
            stack.enter_context(
                mock.patch.object(exchange, "exchange_in_one_call", self._watched("exchange", original))
            )
            yield

    def _watched(self, name, original):
        def call(*arguments, **named):
            if name == "open" and not arguments[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return original(*arguments, **named)
            self.calls += 1
            if self.calls == self.at and name == "write":  # what is half written is half written
                original(arguments[0], arguments[1][: len(arguments[1]) // 2])
            if self.calls >= self.at:
                raise self.error()
            return original(*arguments, **named)

        return call


class Killed(BaseException):
    """Nobody catches it to go on; and whoever cleans up can change nothing, as a process that is gone."""


def killed_at(at, work):
    """Do the work until it is killed at its n-th change: from there on nothing changes. False where it ended before."""
    counter = Counter(at, Killed)
    with counter.watching(), contextlib.suppress(Killed):
        work()
    return counter.calls >= at


def full_at(at, work):
    """Do the work on a disk that is full at its n-th change and after. Gives the error, and whether it came so far."""
    counter, problem = Counter(at, lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), GROWING), None
    with counter.watching():
        try:
            work()
        except Exception as error:
            problem = error
    return problem, counter.calls >= at


def contents(path):
    """Every file below a directory, and every empty directory."""
    return {
        entry.relative_to(path).as_posix(): entry.read_bytes() if entry.is_file() else None
        for entry in path.rglob("*")
        if entry.is_file() or not any(entry.iterdir())
    }
