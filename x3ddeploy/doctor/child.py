"""Run a probe in a child process: a crash, a hang or an exception there is an outcome here.

A probe is a function without arguments that returns JSON-able facts, named "module:function". The child gets this
process's `sys.path`, so that it finds exactly the packages that the command itself would find.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from x3ddeploy.child_process import describe_exit, forbid_core_dumps

_BOOTSTRAP = """
import sys
parent, probe, sys.path[:] = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
from x3ddeploy.child_process import end_with_parent
end_with_parent(parent)
from x3ddeploy.doctor.child import answer
answer(probe)
"""


@dataclass(frozen=True)
class Outcome:
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


def run_probes(probes: Mapping[str, str], timeout_s: float) -> dict[str, Outcome]:
    """Run every probe ({key: "module:function"}) at the same time, each in its own process."""
    if not probes:
        return {}
    with ThreadPoolExecutor(max_workers=len(probes)) as pool:
        outcomes = pool.map(lambda probe: run_probe(probe, timeout_s), probes.values())
        return dict(zip(probes, outcomes, strict=True))


def run_probe(probe: str, timeout_s: float) -> Outcome:
    """Run one probe to its end, or for `timeout_s` seconds."""
    child = subprocess.Popen(  # noqa: S603 (this interpreter, our own code)
        [sys.executable, "-c", _BOOTSTRAP, str(os.getpid()), probe, *sys.path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    try:
        reply, log = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        child.kill()
        # A process stuck inside a broken driver outlives even SIGKILL: do not wait for it for ever.
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.communicate(timeout=1)
        return Outcome(problem=f"no answer within {timeout_s:g} s")
    if child.returncode:
        return Outcome(problem=describe_exit(child.returncode), log=log)
    try:
        return Outcome(**json.loads(reply), log=log)
    except (ValueError, TypeError):
        return Outcome(problem="ended without an answer", log=log)


def answer(probe: str) -> None:
    """The child's side: run the probe, reply on stdout, and leave without running anyone's exit handlers."""
    reply = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is not the reply
    forbid_core_dumps()
    module, _, function = probe.partition(":")
    try:
        outcome: dict[str, Any] = {"facts": getattr(importlib.import_module(module), function)()}
    except Exception as error:
        first_line = str(error).strip().partition("\n")[0]
        outcome = {"problem": f"{type(error).__name__}: {first_line}".removesuffix(": ")}
        fault = error if isinstance(error, ModuleNotFoundError) else error.__cause__
        if isinstance(fault, ModuleNotFoundError) and fault.name:
            outcome["missing_module"] = fault.name
    json.dump(outcome, reply)
    reply.flush()
    sys.stderr.flush()
    os._exit(0)  # a fault in a library's teardown would only hide the answer
