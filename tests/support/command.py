"""The command as tests run it: in this process, which is fast, or as a user does, in a process of its own."""

import contextlib
import importlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from unittest import mock

import click
import torch

from support.present import present
from support.written import past, written_below
from x3ddeploy.cli.main import main
from x3ddeploy.cli.main import run as entry_point

# Folders of the tests' files, outside of which `run` may write as it likes; conftest names them.
FILES_OF_TESTS: list[Path] = []
# Python ignores these unless it is asked for them, outside of __main__.
_WARNINGS_IGNORED = (ResourceWarning, ImportWarning, PendingDeprecationWarning, DeprecationWarning)


def spawn(*arguments, cwd=None, env=None, timeout=300):
    """Run the command in a new process; gives the finished process with its output as text.

    Seconds dearer than `run`: for what is about the process itself, as its start, its environment, its death.
    """
    return subprocess.run(
        [sys.executable, "-m", "x3ddeploy", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def run(*arguments, cwd=None, env=None):
    """Run the command's entry point in this process; gives what `spawn` would, and leaves the process as it was.

    Standard output and error are caught where file descriptors are, so that what libraries and children of the command
    write is there, too. Fails where a file of the tests was written in place, which a kill would leave in part.
    """
    if any(name.startswith(("PYTHON", "LD_", "LC_")) for name in env or {}):
        raise ValueError(f"the interpreter reads {sorted(env)} when it starts: use spawn")
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        with contextlib.ExitStack() as stack:
            for context in (_arguments(arguments), _folder(cwd), _process_state(), _warnings()):
                stack.enter_context(context)
            stack.enter_context(mock.patch.dict(os.environ, env or {}))
            stack.enter_context(_standard_stream("stdout", 1, out))
            stack.enter_context(_standard_stream("stderr", 2, err))
            written = stack.enter_context(written_below(*FILES_OF_TESTS))
            code = _exit_code()
        assert not past(written), f"written in place: {past(written)}"
        texts = (path.read_text(encoding="utf-8", errors="replace") for path in (out, err))
        return subprocess.CompletedProcess(["x3ddeploy", *map(str, arguments)], code, *texts)


def run_as_task(request, progress):
    """`run` as a task of `run_in_child`, with the request's `arguments` and `environment`; gives its fields."""
    return vars(run(*request["arguments"], env=request["environment"]))


class Forked:
    """The command in a copy of this process, in which all that it imports is there: for tests that kill it.

    Attributes:
        pid: number of the process.
        stderr: what it writes there, line by line.
    """

    def __init__(self, *arguments, stdout, prepare=lambda: None):
        reading, writing = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            with contextlib.suppress(BaseException):
                os.dup2(writing, 2)
                os.dup2(os.open(stdout, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
                sys.stdout, sys.stderr = (os.fdopen(descriptor, "w") for descriptor in (1, 2))
                prepare()
                with _arguments(arguments):
                    code = _exit_code()
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
            os._exit(1)
        os.close(writing)
        self.stderr = os.fdopen(reading, encoding="utf-8", errors="replace")

    def wait(self):
        """The exit code; negative where a signal ended it."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.stderr.close()
        return code


def _exit_code():
    """The entry point's exit code, as the interpreter would map it."""
    try:
        entry_point()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
        return 1
    except Exception:
        traceback.print_exc()
        return 1
    return 0


@contextlib.contextmanager
def _arguments(arguments):
    """The command line of `python -m x3ddeploy`, from which click also reads the program's name."""
    module = importlib.import_module("x3ddeploy.__main__")
    before, sys.modules["__main__"] = sys.modules["__main__"], module
    try:
        with mock.patch.object(sys, "argv", [module.__file__, *map(str, arguments)]):
            yield
    finally:
        sys.modules["__main__"] = before


@contextlib.contextmanager
def _folder(path):
    before = Path.cwd()
    os.chdir(path or before)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _process_state():
    """What a command may set for all of its process: threads, signal handlers, log levels and handlers."""
    threads = torch.get_num_threads()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    loggers = {logger: (logger.level, list(logger.handlers)) for logger in _loggers()}
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for logger in _loggers():
            level, kept = loggers.get(logger, (logger.level, []))
            logger.setLevel(level)
            logger.handlers[:] = kept


def _loggers():
    known = logging.root.manager.loggerDict.values()
    return [logging.root, *(logger for logger in known if isinstance(logger, logging.Logger))]


@contextlib.contextmanager
def _warnings():
    """As a process starts with them, shown on standard error."""

    def show(message, category, filename, lineno, file=None, line=None):
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))

    with warnings.catch_warnings():
        warnings.resetwarnings()
        for category in reversed(_WARNINGS_IGNORED):
            warnings.simplefilter("ignore", category)
        warnings.showwarning = show
        yield


@contextlib.contextmanager
def _standard_stream(name, descriptor, path):
    """The stream and its file descriptor lead into a file."""
    before, saved = getattr(sys, name), os.dup(descriptor)
    before.flush()
    with path.open("wb") as file:
        os.dup2(file.fileno(), descriptor)
    stream = open(descriptor, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    setattr(sys, name, stream)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            stream.close()
        setattr(sys, name, before)
        os.dup2(saved, descriptor)
        os.close(saved)


def command_of(verb: str) -> click.Command:
    return present(main.get_command(click.Context(main), verb))


def done(runs, *commands):
    """Run commands, each a tuple of words, by the fixture `run`; fails at the first that does not end well."""
    for words in commands:
        process = runs(*words)
        assert process.returncode == 0, process.stderr


def told(runs, *arguments):
    """What a verb prints for machines."""
    process = runs(*arguments, "--json")
    assert process.returncode == 0, process.stderr
    return process.stdout
