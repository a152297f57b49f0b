"""The one way to the terminal: nothing that came from a file reaches it raw.

The linter refuses `click.echo` and rich's Console elsewhere, so that no verb can forget to escape.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any, TextIO

from x3ddeploy.text import escaped


def echo(line: str = "", *, err: bool = False) -> None:
    """One line on stdout, or on stderr; a line break in it is escaped like everything else that steers a terminal."""
    _write(escaped(line), sys.stderr if err else sys.stdout)


def echo_lines(text: str) -> None:
    """Several lines on stderr: an error, a usage message, a traceback."""
    with contextlib.suppress(OSError):  # there is nowhere left to say that stderr is closed or full
        _write(escaped(text.rstrip("\n"), keep="\n"), sys.stderr)


def json_text(value: Any, indent: int | None = 2) -> str:
    r"""One JSON document; NaN and infinity are refused, what steers a terminal is written as \uXXXX."""
    text = json.dumps(value, indent=indent, allow_nan=False, ensure_ascii=False)
    return "".join(char if char == "\n" or char.isprintable() else json.dumps(char)[1:-1] for char in text)


def print_json(value: Any, indent: int | None = 2) -> None:
    """One JSON document on stdout, on a line of its own where `indent` is None."""
    _write(json_text(value, indent), sys.stdout)


def _write(text: str, stream: TextIO) -> None:
    # Not click's echo, which writes UTF-8 where a terminal says that it takes ASCII.
    stream.write(f"{text}\n")
    stream.flush()


def never_fail_to_encode() -> None:
    """A letter that the terminal's encoding lacks is escaped, too, instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
