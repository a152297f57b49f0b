"""Workers of a Ray cluster that die, and fail, as tests need them: functions that its processes can import."""

import os
import signal
from functools import partial
from pathlib import Path


def squares(folder):
    """Squares numbers, and says in which process it was opened. -1 kills the worker always, -2 once, -3 is an error."""
    with (Path(folder) / "opened").open("a") as file:
        file.write(f"{os.getpid()}\n")
    return partial(_squared, Path(folder))


def _squared(folder, numbers):
    if -1 in numbers or (-2 in numbers and not (folder / "died").exists()):
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if -3 in numbers:
        raise ZeroDivisionError("of a library")
    return [number**2 for number in numbers]


def unopened():
    """Cannot be opened."""
    raise ZeroDivisionError("when it is opened")
