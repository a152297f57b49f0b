"""The one way to the terminal: nothing that came from a file reaches it raw.

The linter refuses `click.echo` and rich's Console elsewhere, so that no verb can forget to escape.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import threading
from collections.abc import Iterator
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
    r"""A document's type, or plain values, as JSON without NaN and infinity; what steers a terminal is \uXXXX."""
    text = json.dumps(value, indent=indent, allow_nan=False, ensure_ascii=False, default=_plain)
    return "".join(char if char == "\n" or char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _plain(document: object) -> Any:
    from msgspec import to_builtins  # doctor prints plain values where it is missing

    return to_builtins(document)


def print_json(value: Any, indent: int | None = 2) -> None:
    """One JSON document on stdout, on a line of its own where `indent` is None."""
    _write(json_text(value, indent), sys.stdout)


@contextlib.contextmanager
def libraries_on_stderr() -> Iterator[None]:
    """What libraries print and log in this block goes to stderr, escaped: results have stdout for themselves."""
    stream = _Escaping(sys.stderr)
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        yield


@contextlib.contextmanager
def other_threads_on_stderr() -> Iterator[None]:
    """What threads of libraries print in this block goes to stderr: Ray's do so about workers, amid the results."""
    with contextlib.redirect_stdout(_OfThisThread(sys.stdout, sys.stderr)):
        yield


class _OfThisThread(io.TextIOBase):
    """A stream into one for the thread that made it, and into another for all others."""

    def __init__(self, ours: TextIO, theirs: TextIO) -> None:
        self._thread, self._ours, self._theirs = threading.get_ident(), ours, theirs

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        if threading.get_ident() == self._thread:
            return self._ours.write(text)
        return self._theirs.write(escaped(text, keep="\n\t"))

    def flush(self) -> None:
        self._ours.flush()


class _Escaping(io.TextIOBase):
    """A stream into another one. It is no terminal, so that nobody colours what is written to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        self._stream.write(escaped(text, keep="\n\t"))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()


def _write(text: str, stream: TextIO) -> None:
    # Not click's echo, which writes UTF-8 where a terminal says that it takes ASCII.
    stream.write(f"{text}\n")
    stream.flush()


def never_fail_to_encode() -> None:
    """A letter that the terminal's encoding lacks is escaped, too, instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
