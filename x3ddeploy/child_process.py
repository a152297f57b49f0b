"""Work in a process of its own: its progress is passed on, and its crash, hang or exception is an error here.

A driver, a parser or a first load may crash, and TensorRT may where the GPU is missing, is taken away or runs out of
memory; the command that asked must outlive that, and say what happened. A task is named 'module:function'; the child
gets this process's `sys.path`, so that it finds exactly the packages that the command itself would find.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from x3ddeploy import errors
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.progress import Step

_PR_SET_PDEATHSIG = 1  # Linux: prctl(2)
_LOOK_EVERY_S = 1.0
_BOOTSTRAP = """
import sys
parent, sys.path[:] = int(sys.argv[1]), sys.argv[2:]
from x3ddeploy.child_process import end_with_parent, serve
end_with_parent(parent)
serve()
"""
_LOG_LINES = 15
# A process that is stuck inside a broken driver outlives even SIGKILL: it is not waited for any longer.
_LAST_WAIT_S = 1.0

Request = Mapping[str, Any]


@dataclass(frozen=True)
class ProbeResult:
    """What became of a probe.

    Attributes:
        facts: what the probe returned; empty if it did not return.
        problem: what went wrong, in words; empty if nothing did.
        missing_module: the module whose absence was the problem, if it was that.
        log: what the child wrote to stderr, and stdout.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""
    missing_module: str = ""
    log: str = ""


def run_in_child(task: str, request: Request, what: str, progress: Step, limit_s: float | None = None) -> Any:
    """Run a task in a Python process of its own, which ends with this one.

    Args:
        task: 'module:function'; the function takes the request and a progress callback, and returns JSON-able facts.
        request: JSON-able.
        what: the task in words, for messages: 'building head.fp16'.
        progress: receives what the task tells.
        limit_s: the child is ended after that many seconds, None for never.

    Raises:
        X3DDeployError: the task's own error, of its own kind; or the child died or was ended, with the last lines of
            its log.
    """
    descriptor, name = tempfile.mkstemp(prefix="x3ddeploy-", suffix=".log")
    log = Path(name)
    with os.fdopen(descriptor, "wb") as stderr:
        reply, code = _run(task, request, progress, limit_s, stderr)
    if reply is None:
        how = f"was ended after {limit_s:.0f} s" if code is None else f"{describe_exit(code)} and no answer"
        raise X3DDeployError(f"{what} {how}", details=_tail(log), hint=f"nothing was kept; the whole log is {log}")
    if "error" in reply:
        raise _error(reply["error"], log)
    log.unlink(missing_ok=True)
    return reply["result"]


def run_probe(probe: str, timeout_s: float) -> ProbeResult:
    """Run a task that takes nothing and returns facts, to its end or for `timeout_s` seconds; nothing is raised."""
    with tempfile.TemporaryFile() as stderr:
        reply, code = _run(probe, None, lambda text: None, timeout_s, stderr)
        stderr.seek(0)
        log = stderr.read().decode(errors="replace")
    if reply is None and code is None:
        return ProbeResult(problem=f"no answer within {timeout_s:g} s")
    if reply is None:
        return ProbeResult(problem=describe_exit(code) if code else "ended without an answer", log=log)
    if "error" in reply:
        error = reply["error"]
        return ProbeResult(problem=error["first_line"], missing_module=error["missing_module"], log=log)
    return ProbeResult(facts=reply["result"], log=log)


def run_probes(probes: Mapping[str, str], timeout_s: float) -> dict[str, ProbeResult]:
    """Run every probe ({key: "module:function"}) at the same time, each in its own process."""
    if not probes:
        return {}
    with ThreadPoolExecutor(max_workers=len(probes)) as pool:
        outcomes = pool.map(lambda probe: run_probe(probe, timeout_s), probes.values())
        return dict(zip(probes, outcomes, strict=True))


def _run(
    task: str, request: Request | None, progress: Step, limit_s: float | None, stderr: IO[bytes]
) -> tuple[dict[str, Any] | None, int | None]:
    """The child's reply; or None, and the return code, None where its time was up."""
    child = _start(stderr)
    try:
        reply, is_late = _converse(child, {"task": task, "request": request}, progress, limit_s)
        if reply is None and not is_late:
            return None, child.wait()
        return reply, None
    finally:
        child.kill()  # for an interrupt; a child that has ended does not mind
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_LAST_WAIT_S)


def _start(stderr: IO[bytes]) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 (this interpreter, our own code)
        [sys.executable, "-c", _BOOTSTRAP, str(os.getpid()), *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        errors="replace",
    )


def _converse(
    child: subprocess.Popen[str], question: Mapping[str, Any], progress: Step, limit_s: float | None
) -> tuple[dict[str, Any] | None, bool]:
    """The task's reply, or None where the child ended without one; and whether the time was up."""
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        json.dump(question, child.stdin)
        child.stdin.close()
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_pump, args=(child.stdout, lines), daemon=True).start()
    end = None if limit_s is None else time.monotonic() + limit_s
    while True:
        try:
            line = lines.get(timeout=None if end is None else max(end - time.monotonic(), 0))
        except queue.Empty:
            return None, True
        if line is None:
            return None, False
        with contextlib.suppress(ValueError):
            message: dict[str, Any] = json.loads(line)
            if "progress" not in message:
                return message, False
            progress(message["progress"])


def _pump(lines: IO[str], into: queue.SimpleQueue[str | None]) -> None:
    for line in lines:
        into.put(line)
    into.put(None)


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


def describe_exit(code: int) -> str:
    """What `subprocess` means by a return code, in words."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"crashed with {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


# --- the child's side ------------------------------------------------------------------------------------------------


def serve() -> None:
    """Read the request, run the task, reply, and leave without running anyone's exit handlers."""
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
        arguments = () if asked["request"] is None else (asked["request"], lambda text: send({"progress": text}))
        send({"result": work(*arguments)})
    except BaseException as error:  # also `sys.exit(0)`: a task that ends without a result has failed
        if not isinstance(error, X3DDeployError) and asked["request"] is not None:
            traceback.print_exc()
        send({"error": _described(error)})
    sys.stderr.flush()
    os._exit(0)  # a fault in a library's teardown would only hide the answer


def _described(error: BaseException) -> dict[str, Any]:
    first_line = str(error).strip().partition("\n")[0]
    fault = error if isinstance(error, ModuleNotFoundError) else error.__cause__
    described = {
        "kind": "",
        "message": f"{type(error).__name__}: {error}",
        "hint": "",
        "details": [],
        "first_line": f"{type(error).__name__}: {first_line}".removesuffix(": "),
        "missing_module": (fault.name or "") if isinstance(fault, ModuleNotFoundError) else "",
    }
    if isinstance(error, X3DDeployError):
        kind = next(base.__name__ for base in type(error).__mro__ if hasattr(errors, base.__name__))
        return described | {"kind": kind, "message": error.message, "hint": error.hint, "details": error.details}
    return described


def end_with_parent(parent: int) -> None:
    """End when the parent ends, however that ends, SIGKILL included.

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
    """A crash must not leave a gigabyte in the user's directory."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
