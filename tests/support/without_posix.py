"""Import every module of x3ddeploy as on Windows: without fcntl and resource, and without flags of `os` that it lacks.

    python without_posix.py

Only x3ddeploy's own imports are refused: the standard library of this system needs them.
"""

import builtins
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.without_torch import modules

ABSENT = {"fcntl", "resource", "pwd", "grp", "termios"}
FLAGS = ("O_NONBLOCK", "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW")


class _Os:
    """The module `os` for x3ddeploy's modules: without flags that Windows lacks."""

    def __getattr__(self, name):
        if name in FLAGS:
            raise AttributeError(f"module 'os' has no attribute {name!r}")
        return getattr(os, name)


def main():
    real = builtins.__import__

    def refuse(name, importing=None, *arguments, **keywords):
        by = (importing or {}).get("__name__", "")
        if by.startswith("x3ddeploy"):
            if name in ABSENT:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            if name == "os":
                return _Os()
        return real(name, importing, *arguments, **keywords)

    vars(builtins)["__import__"] = refuse
    imported, _ = modules()
    from x3ddeploy import files, locks

    assert locks.fcntl is None
    assert not hasattr(vars(files)["os"], "O_NONBLOCK")
    assert files.read_text(Path(__file__)).startswith('"""Import every module')
    sys.stdout.write(f"{len(imported)} modules\n")


if __name__ == "__main__":
    main()
