"""A plot as data: ticks, lines and numbered marks in pixels of one fixed canvas, which a template draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from x3ddeploy.report.scale import Scale, Tick

# Small enough for its text to be read when a phone shows the canvas at three quarters of its size.
WIDTH, HEIGHT = 440, 290
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 14, 44
_LABEL_GAP = 13
_MARGIN = 0.06


@dataclass(frozen=True)
class Mark:
    """A numbered competitor.

    Attributes:
        x, y: place of its dot; `x_end`: end of its bar, where it stands for a range.
        number_y: vertical place of its number, moved away from those of its neighbours.
        tone: name of a colour in the style sheet.
        title: shown when pointed at, and read aloud.
    """

    number: int
    x: float
    y: float
    number_y: float
    tone: str
    title: str
    x_end: float | None = None


@dataclass(frozen=True)
class Line:
    """Through points; `tone` names its colour, and a dashed one is a bound."""

    points: tuple[tuple[float, float], ...]
    tone: str
    dashed: bool = False

    @property
    def path(self) -> str:
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in self.points)


@dataclass(frozen=True)
class Entry:
    """One line of the list under a plot: number, tone, name, and what is to be said of it."""

    number: int
    tone: str
    name: str
    text: str


@dataclass(frozen=True)
class Note:
    """Text in a plot; `end`: aligned at its end."""

    x: float
    y: float
    text: str
    end: bool = False


@dataclass(frozen=True)
class Plot:
    """A drawing as data: titles, ticks, marks and lines."""

    title: str
    x_label: str
    y_label: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    marks: list[Mark]
    lines: list[Line]
    entries: list[Entry]
    notes: tuple[Note, ...] = ()


def x_scale(low: float, high: float, *, is_log: bool = False) -> Scale:
    """Across the canvas."""
    return Scale(low, high, LEFT, WIDTH - RIGHT, is_log)


def y_scale(low: float, high: float, *, is_log: bool = False) -> Scale:
    """Up the canvas."""
    return Scale(low, high, HEIGHT - BOTTOM, TOP, is_log)


def with_margin(values: Sequence[float], *, is_log: bool = False) -> tuple[float, float]:
    """Ends of a scale that holds these values off its edges; also where they are all the same."""
    low, high = min(values), max(values)
    if is_log:
        factor = max((high / low) ** _MARGIN, 1.2)
        return low / factor, high * factor
    margin = max((high - low) * _MARGIN, abs(high) * 0.02, 1e-9)
    return low - margin, high + margin


def spread(positions: Sequence[float], gap: float = _LABEL_GAP) -> list[float]:
    """Labels' positions, moved as little as it takes for neighbours to be `gap` apart; order is kept."""
    groups: list[tuple[float, list[int]]] = []  # centre and members of labels that touch
    for index in sorted(range(len(positions)), key=lambda index: positions[index]):
        groups.append((positions[index], [index]))
        while len(groups) > 1:
            (one, first), (other, second) = groups[-2:]
            if other - one >= gap * (len(first) + len(second)) / 2:
                break
            total = len(first) + len(second)
            groups[-2:] = [((one * len(first) + other * len(second)) / total, first + second)]
    moved = list(positions)
    for centre, members in groups:
        for place, index in enumerate(members):
            moved[index] = centre + gap * (place - (len(members) - 1) / 2)
    return moved
