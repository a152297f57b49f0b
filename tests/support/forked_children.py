"""Children of `run_in_child` as copies of a process that has imported what the tests have, and has run nothing.

A new interpreter's imports are most of what a child costs. That children start as users' do is tested in
tests/test_child_process.py, and by each verb in tests/test_processes.py.
"""

import contextlib
import ctypes
import faulthandler
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from x3ddeploy import child_process

AS_USERS_DO = child_process._start  # a new interpreter
_PR_SET_CHILD_SUBREAPER = 36  # Linux: prctl(2)
_LONGEST_MESSAGE = 1 << 17
_TASKS = ("x3ddeploy.engines.worker", "x3ddeploy.engines.check", "x3ddeploy.engines.bisect", "x3ddeploy.doctor.probes")


@contextlib.contextmanager
def forked_children():
    """Children of this process are copies of what it is now, but those of machines that lack packages."""
    if sys.platform != "linux":
        yield
        return
    for task in _TASKS:
        importlib.import_module(task)
    with _Original() as original, pytest.MonkeyPatch.context() as patch:
        own = os.getpid(), os.environ.get("LD_LIBRARY_PATH")

        def start(stderr):
            # A copy of this process starts its own; libraries are found, and packages missing, from the beginning.
            is_apart = os.environ.get("MISSING") or own != (os.getpid(), os.environ.get("LD_LIBRARY_PATH"))
            return (AS_USERS_DO if is_apart else original.copy)(stderr)

        patch.setattr(child_process, "_start", start)
        yield


class _Original:
    """A copy of this process that makes copies of itself, which become children of this process."""

    def __init__(self):
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        self._pid = os.fork()
        if not self._pid:
            self._channel.close()
            with contextlib.suppress(BaseException):
                _make_copies(theirs)
            os._exit(1)
        theirs.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._channel.close()
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def copy(self, stderr):
        """A child as `subprocess.Popen` would have started it."""
        asked = {"environment": dict(os.environ), "folder": str(Path.cwd()), "path": sys.path}
        (their_input, stdin), (stdout, their_output) = os.pipe(), os.pipe()
        with self._lock:
            # What the original's child leaves behind becomes this process's child.
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
            socket.send_fds(self._channel, [json.dumps(asked).encode()], [their_input, their_output, stderr.fileno()])
            pid = int(self._channel.recv(64))
            self._channel.recv(64)
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 0)
        os.close(their_input)
        os.close(their_output)
        return _Copy(pid, stdin, stdout)


class _Copy:
    """What `child_process` uses of a `Popen`."""

    def __init__(self, pid, stdin, stdout):
        self._pid, self._code = pid, None
        self.stdin = os.fdopen(stdin, "w", errors="replace")
        self.stdout = os.fdopen(stdout, errors="replace")

    def kill(self):
        if self._code is None:
            os.kill(self._pid, signal.SIGKILL)

    def wait(self, timeout=None):
        end = None if timeout is None else time.monotonic() + timeout
        while self._code is None:
            pid, status = os.waitpid(self._pid, 0 if end is None else os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
            elif end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("copy", timeout)
            else:
                time.sleep(0.002)
        return self._code


def _make_copies(channel):
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, _LONGEST_MESSAGE, 3)
        if not message:
            os._exit(0)
        between = os.fork()
        if not between:
            pid = os.fork()
            if not pid:
                _become(json.loads(message), descriptors)
            channel.send(str(pid).encode())
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)
        os.waitpid(between, 0)
        channel.send(b"adopted")


def _become(asked, descriptors):
    """The child, as its interpreter would start it."""
    try:
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
        signal.signal(signal.SIGINT, signal.default_int_handler)
        faulthandler.disable()  # pytest's; children that play a crash would fill the log
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.chdir(asked["folder"])
        tempfile.tempdir = None
        _look_in(asked["path"])
        importlib.import_module(child_process.__name__).serve()
    finally:
        os._exit(1)


def _look_in(path):
    """Import from these folders; on a machine that is played (support/fake_machines.py) ours meet it anew."""
    came_in = [Path(folder) for folder in path if folder not in sys.path]
    sys.path[:] = path
    names = {entry.stem for folder in came_in if folder.is_dir() for entry in folder.iterdir()}
    is_played = "sitecustomize" in names
    if is_played:
        names |= {"support", "x3ddeploy"}
    for name in [name for name in sys.modules if name.partition(".")[0] in names]:
        del sys.modules[name]
    importlib.invalidate_caches()
    if is_played:
        importlib.import_module("sitecustomize")
