"""What is opened for writing under the name that a reader would open, past the functions that the crash tests kill."""

import contextlib
import functools
import os
import sys
from pathlib import Path

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
# Rows are appended, and what is cut off is dropped (tests/test_rows.py). MMEngine writes logs, a copy of the config and
# a note of the last checkpoint, without which `--resume` finds that (tests/training/test_whole_checkpoints.py).
_MAY_BE_CUT_OFF = (".jsonl", ".log", ".py", "last_checkpoint")
_watched: list[tuple[tuple[Path, ...], list[str]]] = []


@functools.cache  # a hook stays for the life of the process
def _listen():
    def note(event, arguments):
        if event != "open" or not _watched or isinstance(arguments[0], int) or not arguments[2] & WRITING:
            return
        path = Path.cwd() / os.fsdecode(arguments[0])
        if path.is_relative_to(os.environ.get("TMPDIR", os.devnull)):
            return  # where a command works as it likes
        for folders, paths in _watched:
            if any(path.is_relative_to(folder) for folder in folders):
                paths.append(str(path))

    sys.addaudithook(note)


@contextlib.contextmanager
def written_below(*folders):
    """Gives a list that receives each file below the folders that this process opens for writing in the block."""
    _listen()
    watched: tuple[tuple[Path, ...], list[str]] = (folders, [])
    _watched.append(watched)
    try:
        yield watched[1]
    finally:
        _watched.remove(watched)


def past(paths):
    """Paths that a reader would open while they are written."""
    kept = [path for path in paths if not path.endswith(_MAY_BE_CUT_OFF)]
    return [path for path in kept if ".partial" not in path and "/vis_data/" not in path]
