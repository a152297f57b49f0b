"""What becomes of an error: lines on stderr that say what was wrong and what to do, and an exit code."""

from __future__ import annotations

import errno
import io
import logging
import os
import traceback
from collections.abc import Sequence
from pathlib import Path

import click
import click.core

import x3ddeploy
from x3ddeploy.cli.echo import echo_lines
from x3ddeploy.errors import MissingRequirementError, X3DDeployError

TRACEBACK = "X3DDEPLOY_TRACEBACK"
# PyTorch's tensors without data, on which networks are traced and their shapes found.
_LOGS_WHAT_IT_RAISES = "torch._subclasses.fake_tensor"
_PACKAGE = Path(x3ddeploy.__file__).parent


def exit_code_of(command: click.Command, arguments: Sequence[str] | None = None) -> int:
    """Run a command to its end; whatever goes wrong is said on stderr, and is never exit code 0.

    Args:
        command: with all its verbs.
        arguments: arguments of the command line, without the program's name; None for those of this process.
    """
    logging.getLogger(_LOGS_WHAT_IT_RAISES).addFilter(_tells_more)
    try:
        # Without standalone mode click gives the code of a `ctx.exit(code)` back instead of leaving with it.
        code = command.main(None if arguments is None else list(arguments), standalone_mode=False)
        return code if isinstance(code, int) else 0
    except BaseException as error:  # the last catch: there is nobody else who could say it
        if os.environ.get(TRACEBACK):
            echo_lines("".join(traceback.format_exception(error)))
        return _explained(error)


def _tells_more(record: logging.LogRecord) -> bool:
    """Whether a log record is more than the traceback of an error that is raised as well."""
    return not record.exc_info or bool(os.environ.get(TRACEBACK))


def _explained(error: BaseException) -> int:
    """Say what went wrong; gives the exit code."""
    if isinstance(error, click.exceptions.Abort) and isinstance(error.__cause__, EOFError):
        error = error.__cause__  # click takes it for the end of what the user types; readers of files raise it, too
    match error:
        case click.exceptions.Abort() | KeyboardInterrupt():
            echo_lines("interrupted")
            return 130
        case click.ClickException():
            text = io.StringIO()
            error.show(text)
            echo_lines(text.getvalue())
            return error.exit_code
        case ModuleNotFoundError(name=str(name)) if name.partition(".")[0] != x3ddeploy.__name__:
            package = name.partition(".")[0]
            return _explained(
                MissingRequirementError(
                    f"the Python package {package} is not installed", hint="`x3ddeploy doctor` says what to install"
                )
            )
        case X3DDeployError():
            echo_lines(f"error: {error}")
            return error.exit_code
        case SystemExit() if _is_of_a_closed_pipe(error):
            return 1  # nobody reads the rest of stdout
        case BrokenPipeError():
            return 1
        case SystemExit():
            # A script or a config of the user's, or a library, that takes the process for its own.
            echo_lines(f"error: something in the command left with sys.exit({error.code}){_place(error, within=None)}")
            return 1
        case OSError():
            where = error.filename or "standard output"
            echo_lines(f"error: cannot write or read {where}: {error.strerror or error}")
            return 1
        case RuntimeError() if str(error).startswith("Symlink loop"):  # `Path.resolve` up to Python 3.12
            echo_lines(f"error: cannot write or read a path: {error}")
            return 1
    out_of_memory = isinstance(error, MemoryError) or "can't allocate memory" in str(error)  # the latter is PyTorch's
    echo_lines(f"error: {_out_of_memory(error) if out_of_memory else _internal(error)}")
    return 1


def _is_of_a_closed_pipe(error: SystemExit) -> bool:
    """Whether click or rich left because nobody reads stdout; a newer click does so behind its `except`."""
    reason = error.__context__
    by_click = traceback.extract_tb(error.__traceback__)[-1].filename == click.core.__file__
    return by_click or (isinstance(reason, OSError) and reason.errno == errno.EPIPE)


def _out_of_memory(error: BaseException) -> X3DDeployError:
    reason = str(error).strip().partition("\n")[0][:300]
    return X3DDeployError(
        f"not enough memory{': ' if reason else ''}{reason}", hint="take fewer clips at a time, or free some memory"
    )


def _internal(error: BaseException) -> X3DDeployError:
    """A fault of x3ddeploy's own, told with its place."""
    reason = str(error).strip().partition("\n")[0][:300]
    what = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
    return X3DDeployError(
        f"internal error: {what}{_place(error, within=_PACKAGE)}",
        hint=f"this is a fault of x3ddeploy {x3ddeploy.__version__}: please report it, with the command and what it "
        f"prints with {TRACEBACK}=1 in its environment",
    )


def _place(error: BaseException, within: Path | None) -> str:
    """The innermost file and line of an error, of those in a folder where one is given."""
    frames = list(traceback.extract_tb(error.__traceback__))
    if within is not None:
        frames = [frame for frame in frames if Path(frame.filename).is_relative_to(within)]
    if not frames:
        return ""
    file = Path(frames[-1].filename)
    return f" ({file.relative_to(within.parent) if within else file}, line {frames[-1].lineno})"
