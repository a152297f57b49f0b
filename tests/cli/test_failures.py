"""Whatever goes wrong in a command is a line that says so and an exit code over zero, never a traceback."""

import errno
import logging
import os
import subprocess
import sys

import click
import pytest
import torch
from torch._subclasses import fake_tensor

from x3ddeploy.cli.echo import json_text
from x3ddeploy.cli.failures import TRACEBACK, exit_code_of
from x3ddeploy.errors import GateError


def failing(error, *, cause=None):
    @click.command()
    def command():
        raise error from cause

    return command


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyError("name"), 1, "internal error: KeyError: 'name'"),
        (RecursionError("maximum recursion depth exceeded"), 1, "internal error: RecursionError"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), 1, "internal error: UnicodeDecodeError"),
        (AssertionError(), 1, "internal error: AssertionError"),
        (EOFError("No data left in file"), 1, "internal error: EOFError: No data left"),
        (GeneratorExit(), 1, "internal error: GeneratorExit"),
        (MemoryError(), 1, "error: not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"), 1, "error: not enough memory"),
        (RuntimeError("Symlink loop from '/a'"), 1, "error: cannot write or read a path: Symlink loop"),
        (SystemExit(0), 1, "error: something in the command left with sys.exit(0)"),
        (SystemExit(None), 1, "error: something in the command left with sys.exit(None)"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, ""),
        (PermissionError(errno.EACCES, "Permission denied", "/a"), 1, "cannot write or read /a: Permission denied"),
        (ModuleNotFoundError("No module named 'av'", name="av.video"), 4, "the Python package av is not installed"),
        (click.UsageError("no such \x07thing"), 2, "Error: no such \\x07thing"),
        (GateError("it is off\nerror: forged", hint="look"), 3, "error: it is off\n  error: forged\n-> look"),
        (RuntimeError("\x1b]0;title\x07"), 1, "\\x1b]0;title\\x07"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_every_error_is_told_in_a_line_or_two(capsys, monkeypatch, error, code, said):
    monkeypatch.delenv("X3DDEPLOY_TRACEBACK", raising=False)
    assert exit_code_of(failing(error), []) == code
    told = capsys.readouterr()
    assert said in told.err
    assert "Traceback" not in told.err
    assert told.out == ""
    assert "\x1b" not in told.err
    monkeypatch.setenv("X3DDEPLOY_TRACEBACK", "1")
    assert exit_code_of(failing(error), []) == code
    assert "Traceback" in capsys.readouterr().err or isinstance(error, BrokenPipeError)


def test_an_internal_error_says_where_it_is_and_how_to_report_it(capsys):
    @click.command()
    def command():
        json_text(float("nan"))

    assert exit_code_of(command, []) == 1
    told = capsys.readouterr().err
    assert "internal error: ValueError" in told
    assert "x3ddeploy/cli/echo.py, line" in told
    assert "please report it" in told
    assert "X3DDEPLOY_TRACEBACK=1" in told


def test_a_command_that_ends_well_or_with_a_code_of_its_own():
    @click.command()
    @click.argument("code", type=int)
    @click.pass_context
    def command(ctx, code):
        ctx.exit(code)

    assert exit_code_of(command, ["0"]) == 0
    assert exit_code_of(command, ["4"]) == 4


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_letter_that_the_terminal_lacks_is_escaped(stream):
    script = (
        "import sys, click\nfrom x3ddeploy.cli import main as module\nfrom x3ddeploy.cli.echo import echo\n"
        "@click.command()\ndef shout():\n    echo('\\u4e2d', err=%r)\nmodule.main = shout\n"
        "sys.argv = ['x3ddeploy']\nmodule.run()"
    ) % (stream == "stderr")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert process.returncode == 0, process.stderr
    assert getattr(process, stream).strip() == "\\u4e2d"


@pytest.mark.parametrize(
    ("typed", "told"),
    [("exprot", " Did you mean 'export'?"), ("build_trt", " Did you mean 'build-trt'?"), ("xyzzy", "")],
)
def test_a_mistyped_verb_is_told_the_one_that_was_meant(run, typed, told):
    process = run(typed)
    assert process.returncode == 2
    assert f"No such command {typed!r}.{told}\n" in process.stderr


@pytest.mark.parametrize("shown", ["", "1"])
def test_what_a_library_logs_and_raises_is_told_once(monkeypatch, shown):
    """PyTorch does where a network does not take the clips that its config promises."""
    records: list[logging.LogRecord] = []
    collect = logging.Handler()
    monkeypatch.setattr(collect, "emit", records.append)
    monkeypatch.setenv(TRACEBACK, shown)
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    logger.addHandler(collect)

    @click.command()
    def command():
        with fake_tensor.FakeTensorMode():
            torch.empty(2, 3) @ torch.empty(4, 5)

    try:
        assert exit_code_of(command, []) == 1
    finally:
        logger.removeHandler(collect)
    assert len(records) == (1 if shown else 0)


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["no-such-verb"], 2)])
def test_the_process_ends_at_once_and_what_waits_for_its_end_is_done(arguments, code):
    script = (
        "import atexit, sys, threading, time\nfrom x3ddeploy.cli.main import program\n"
        "atexit.register(print, 'tidied up', file=sys.stderr)\nthreading.Thread(target=time.sleep, args=[60]).start()\n"
        f"sys.argv = ['x3ddeploy', *{arguments}]\nprogram()"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=30)
    assert process.returncode == code
    assert process.stderr.endswith("tidied up\n")


@pytest.mark.parametrize("closed", ["stdin", "stdout", "stderr"])
def test_a_closed_stream_is_none_of_the_files_that_are_opened(closed):
    """What cannot be printed is an error, and no file of the command's takes the stream's place."""
    descriptor = ("stdin", "stdout", "stderr").index(closed)
    code = (
        "import os, sys; from x3ddeploy.cli.main import _stand_in_for_closed_streams as stand_in; stand_in();"
        f"os._exit(7 if sys.{closed}.fileno() == {descriptor} and os.open(os.devnull, os.O_RDONLY) > 2 else 1)"
    )
    words = [sys.executable, "-c", code]
    assert subprocess.run(words, preexec_fn=lambda: os.close(descriptor), check=False).returncode == 7
