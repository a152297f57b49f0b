"""Which classes and functions a checkpoint's pickles name, found by disassembly: nothing is imported or executed."""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from typing import Any, BinaryIO

import torch

# Of torch.save's own making in any file of weights.
_ORDINARY = re.compile(
    r"collections\.OrderedDict|torch\._utils\._rebuild_\w+|torch\.\w*Storage|torch\.storage\.\w+|torch\.b?float\w+"
)


def globals_beyond_weights(file: BinaryIO) -> frozenset[str]:
    """Full names of the globals that `file` asks for and that PyTorch's weights-only unpickler does not know."""
    file.seek(0)
    try:
        return frozenset(torch.serialization.get_unsafe_globals_in_checkpoint(file))
    except Exception:  # not a zip archive, or a pickle protocol that PyTorch's scan does not know
        return frozenset(name for name in _scan(file) if _ORDINARY.fullmatch(name) is None)


def _pickles(file: BinaryIO) -> BinaryIO:
    if not zipfile.is_zipfile(file):
        file.seek(0)
        return file
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        return io.BytesIO(archive.read(names[0]) if names else b"")


def _scan(file: BinaryIO) -> set[str]:
    names: set[str] = set()
    try:
        stream = _pickles(file)
        while True:  # torch.save's older format is several pickles in a row and then raw tensor bytes, where this ends
            names |= _globals_of_one_pickle(stream)
    except Exception:  # the end, bytes that are no pickle, or a damaged archive
        return names


def _globals_of_one_pickle(stream: BinaryIO) -> set[str]:
    names: set[str] = set()
    pushed: list[str] = []  # strings in the order of their pushes: STACK_GLOBAL takes the last two
    memo: dict[int, str] = {}
    memoized = 0
    top_is_string = False
    argument: Any  # its type is the opcode's
    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name in ("GLOBAL", "INST"):
            names.add(str(argument).replace(" ", ".").replace("__builtin__.", "builtins."))
        elif name == "STACK_GLOBAL":
            names.add(".".join(pushed[-2:]) if len(pushed) > 1 else "(a name put together while unpickling)")
        if name == "MEMOIZE" or name in ("PUT", "BINPUT", "LONG_BINPUT"):
            if top_is_string:
                memo[memoized if name == "MEMOIZE" else int(argument)] = pushed[-1]
            memoized += 1
            continue  # memoizing leaves the stack as it is
        text = memo.get(int(argument)) if name in ("GET", "BINGET", "LONG_BINGET") else argument
        top_is_string = isinstance(text, str) and ("UNICODE" in name or "GET" in name)
        if top_is_string:
            pushed.append(str(text))
    return names
