"""Run a long task in a child process: its progress is passed on, and its crash is an error here with its log.

TensorRT may crash where the GPU is missing, is taken away or runs out of memory; the command that asked for an engine
must outlive that, and say what happened.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from x3ddeploy import errors
from x3ddeploy.child_process import describe_exit, forbid_core_dumps
from x3ddeploy.errors import X3DDeployError

_BOOTSTRAP = """
import sys
parent, sys.path[:] = int(sys.argv[1]), sys.argv[2:]
from x3ddeploy.child_process import end_with_parent
end_with_parent(parent)
from x3ddeploy.engines.child import serve
serve()
"""
_LOG_LINES = 15

Request = Mapping[str, Any]
Progress = Callable[[str], None]


def run_in_child(task: str, request: Request, what: str, progress: Progress, limit_s: float | None = None) -> Any:
    """Run a task in a Python process of its own, which ends with this one.

    Args:
        task: 'module:function'; the function takes the request and a progress callback, and returns JSON-able facts.
        request: JSON-able.
        what: of the task, for messages: 'building head.fp16'.
        progress: told what the task tells.
        limit_s: the child is ended after that many seconds, None for never.

    Raises:
        X3DDeployError: the task's own error, of its own kind; or the child died or was ended, with the last lines of
            its log.
    """
    descriptor, name = tempfile.mkstemp(prefix="x3ddeploy-", suffix=".log")
    log = Path(name)
    with os.fdopen(descriptor, "wb") as stderr:
        child = subprocess.Popen(  # noqa: S603 (this interpreter, our own code)
            [sys.executable, "-c", _BOOTSTRAP, str(os.getpid()), *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            errors="replace",
        )
        late = threading.Event()
        alarm = threading.Timer(limit_s, _end, (child, late)) if limit_s is not None else None
        if alarm:
            alarm.start()
        try:
            reply = _converse(child, {"task": task, "request": request}, progress)
        finally:
            if alarm:
                alarm.cancel()
            child.kill()  # for an interrupt; a child that has ended does not mind
            child.wait()
    if reply is None:
        how = (
            f"was ended after {limit_s:.0f} s" if late.is_set() else describe_exit(child.returncode) + " and no answer"
        )
        raise X3DDeployError(
            f"{what} {how}",
            details=_tail(log),
            hint=f"nothing was kept; the whole log is {log}",
        )
    if "error" in reply:
        raise _error(reply["error"], log)
    log.unlink(missing_ok=True)
    return reply["result"]


def serve() -> None:
    """The child's side: read the request, run the task, reply, and leave without running anyone's exit handlers."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is not the reply
    forbid_core_dumps()
    asked = json.load(sys.stdin)

    def send(message: Mapping[str, Any]) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    try:
        module, _, function = asked["task"].partition(":")
        work = getattr(importlib.import_module(module), function)
        send({"result": work(asked["request"], lambda text: send({"progress": text}))})
    except X3DDeployError as error:
        kind = next(base.__name__ for base in type(error).__mro__ if hasattr(errors, base.__name__))
        send({"error": {"kind": kind, "message": error.message, "hint": error.hint, "details": error.details}})
    except BaseException as error:  # also `sys.exit(0)`: a task that ends without a result has failed
        traceback.print_exc()
        send({"error": {"kind": "", "message": f"{type(error).__name__}: {error}", "hint": "", "details": []}})
    sys.stderr.flush()
    os._exit(0)  # a fault in a library's teardown would only hide the answer


def _end(child: subprocess.Popen[str], late: threading.Event) -> None:
    late.set()
    child.kill()


def _converse(child: subprocess.Popen[str], question: Mapping[str, Any], progress: Progress) -> dict[str, Any] | None:
    """The task's reply, or None where the child ended without one."""
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        json.dump(question, child.stdin)
        child.stdin.close()
    for line in child.stdout:
        with contextlib.suppress(ValueError):
            message: dict[str, Any] = json.loads(line)
            if "progress" not in message:
                return message
            progress(message["progress"])
    child.wait()
    return None


def _error(value: Mapping[str, Any], log: Path) -> X3DDeployError:
    if value["kind"]:
        # What TensorRT itself said stands in the log; its last lines belong to the error.
        details = [*value["details"], *(f"log: {line}" for line in _tail(log))]
        log.unlink(missing_ok=True)
        error: X3DDeployError = getattr(errors, value["kind"])(value["message"], hint=value["hint"], details=details)
        return error
    return X3DDeployError(f"unexpected: {value['message']}", details=_tail(log), hint=f"the whole log is {log}")


def _tail(log: Path) -> list[str]:
    with log.open(encoding="utf-8", errors="replace") as file:
        return [line.rstrip() for line in deque(file, _LOG_LINES)]
