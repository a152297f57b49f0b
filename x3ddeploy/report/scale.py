"""Values to pixels, ticks at round numbers, and numbers as text."""

from __future__ import annotations

import math
from dataclasses import dataclass

TIMES = "\u00d7"
_ROUND_STEPS = (1, 2, 5, 10)
_WIDEST_LABELLED_DECADES = 2.5  # up to here, 2 and 5 of each decade get a tick as well


@dataclass(frozen=True)
class Tick:
    """Where it stands in pixels, and what stands beside it."""

    at: float
    text: str


@dataclass(frozen=True)
class Scale:
    """A stretch of values on a stretch of pixels; `start` may lie beyond `end`, as on an upward axis.

    Raises:
        ValueError: the values are no stretch, or a logarithm of them does not exist.
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.is_log and self.low <= 0):
            raise ValueError(f"no scale from {self.low} to {self.high}")

    def __call__(self, value: float) -> float:
        """The pixel of a value; beyond the ends it goes on."""
        values = (value, self.low, self.high)
        value, low, high = map(math.log10, values) if self.is_log else values
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[Tick]:
        """About `count` of them; on a logarithmic scale the decades, and 2 and 5 where these are few."""
        values = self._log_values() if self.is_log else self._linear_values(count)
        return [Tick(self(value), number(value)) for value in values]

    def _linear_values(self, count: int) -> list[float]:
        raw = (self.high - self.low) / count
        power = 10 ** math.floor(math.log10(raw))
        step = next(step * power for step in _ROUND_STEPS if step * power >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [index * step for index in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def _log_values(self) -> list[float]:
        low, high = math.log10(self.low), math.log10(self.high)
        steps = (1, 2, 5) if high - low <= _WIDEST_LABELLED_DECADES else (1,)
        values = [step * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for step in steps]
        return [value for value in values if self.low * 0.999 <= value <= self.high * 1.001]


def number(value: float) -> str:
    """Three significant digits without an exponent, thousands set apart."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def milliseconds(value: float) -> str:
    """A time in words: two decimals below ten, one below a hundred."""
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f} ms"
