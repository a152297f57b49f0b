"""How a long function says how far it is; what shows it, a terminal or a server's log, is not its affair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

# Receives each step, as one line. Functions whose steps are all that there is to tell take this alone.
Step = Callable[[str], None]


@runtime_checkable
class Progress(Protocol):
    """Receives the steps of a command, and how far a long one is."""

    def __call__(self, text: str, /) -> None:
        """A step, as one line."""

    def count(self, name: str, done: float, total: float) -> None:
        """How far something is: so many of so many clips, or the share of a budget of 1."""


class StepsAlone:
    """A Progress that passes steps on, and counts nowhere."""

    def __init__(self, step: Step = lambda text: None) -> None:
        self._step = step

    def __call__(self, text: str, /) -> None:
        self._step(text)

    def count(self, name: str, done: float, total: float) -> None:
        """Nothing is shown."""


QUIET = StepsAlone()


def counting(step: Step) -> Progress:
    """The same, as a Progress: a plain function such as `print` takes the steps, and counts nowhere."""
    return step if isinstance(step, Progress) else StepsAlone(step)
