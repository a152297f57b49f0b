"""A process that is killed, or a disk that is full, at the n-th call that changes the disk; for every n in turn."""

import contextlib
import errno
import os
from unittest import mock

from x3ddeploy import exchange

KILLED = 9
# Of os; pathlib, tempfile and shutil call them by these names.
CHANGING = ("open", "write", "fsync", "replace", "rename", "link", "unlink", "mkdir", "rmdir", "chmod")
# These can be refused for want of space.
GROWING = ("open", "write", "fsync", "replace", "rename", "link", "mkdir")


class Counter:
    """Lets calls through, and at the n-th of them acts instead."""

    def __init__(self, at, act, names=CHANGING):
        self.at, self.act, self.names, self.calls = at, act, names, 0

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
            if self.calls == self.at:
                if name == "write":  # what is half written is half written
                    original(arguments[0], arguments[1][: len(arguments[1]) // 2])
                self.act()
            return original(*arguments, **named)

        return call


def killed_at(at, work):
    """Do the work in a process of its own that is killed at its n-th change. False where it ended before that."""
    process = os.fork()
    if not process:
        code = 1
        with contextlib.suppress(BaseException):
            with Counter(at, lambda: os._exit(KILLED)).watching():
                work()
            code = 0
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert code in (0, KILLED)
    return code == KILLED


def full_at(at, work):
    """Do the work on a disk that is full at its n-th change and after. Gives the error, and whether it came so far."""

    def refuse():
        counter.at += 1  # it stays full
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    counter, problem = Counter(at, refuse, GROWING), None
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
