"""Text that comes from files, made fit for a terminal, for an error and for a shell."""

from __future__ import annotations

import os
import shlex
import unicodedata
from collections.abc import Sequence

_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escaped(text: str, keep: str = "") -> str:
    r"""`text` with all that steers a terminal or hides from its reader written as an escape: 'a\x1b[31m', 'a\u202eb'.

    Controls (C0, C1), line breaks of every kind, marks of direction and width, halves of surrogate pairs, and code
    points that mean nothing; letters of every script and their spaces stay.

    Args:
        text: from a file, a file's name, a library's message.
        keep: characters that stay though they are controls.
    """
    if text.isprintable():
        return text
    return "".join(char if char in keep or not _steers(char) else _escape(char) for char in text)


def printable(text: str, limit: int = 160) -> str:
    """`text` cut to `limit` characters, control characters escaped: a file must not steer the user's terminal."""
    return escaped(text[:limit])


def shortened(lines: Sequence[str], limit: int, what: str = "") -> list[str]:
    """The first `limit` lines, made printable, and how many more there are (of `what`)."""
    more = [f"... and {len(lines) - limit} more {what}".rstrip()] if len(lines) > limit else []
    return [*map(printable, lines[:limit]), *more]


def _steers(char: str) -> bool:
    category = unicodedata.category(char)
    return category[0] == "C" or category in ("Zl", "Zp")


def _escape(char: str) -> str:
    code = ord(char)
    if char in _ESCAPES:
        return _ESCAPES[char]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shell_word(word: object) -> str:
    """A path or a name as a word of a shell's command line, so that a printed command works when it is pasted.

    What cannot be shown is written as bash's $'...', which is text that a terminal shows as it is.
    """
    text = str(word)
    if text.startswith("-"):
        text = f"./{text}"
    if escaped(text) == text:
        return shlex.quote(text)
    shown = (
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b"'\\" else f"\\x{byte:02x}" for byte in os.fsencode(text)
    )
    return f"$'{''.join(shown)}'"
