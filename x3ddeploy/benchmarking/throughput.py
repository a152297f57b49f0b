"""Clips per second by batch: growing batches, interleaved, as long as the time lasts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from x3ddeploy.benchmarking.competitor import Absent, Competitor
from x3ddeploy.runtimes.base import Feeds
from x3ddeploy.timing.measure import measure

BATCHES = (1, 2, 4, 8, 16, 32)
_ROUNDS = 3


@dataclass
class Throughput:
    """Raw samples: competitor -> batch -> milliseconds a run; and what was left out, with the reason."""

    samples_ms: dict[str, dict[int, list[float]]] = field(default_factory=dict)
    absent: list[Absent] = field(default_factory=list)
    interrupted: bool = False


def measure_throughput(
    competitors: Sequence[Competitor],
    feeds: Callable[[int], Feeds],
    seconds: float,
    on_share: Callable[[float], None] = lambda share: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Throughput:
    """Time growing batches, interleaved; a batch that would not fit into what is left of the time is left out.

    Args:
        competitors: those that take any batch; who refuses one is left out from there on.
        feeds: makes a batch of clips.
        seconds: budget.
        on_share: receives the share of the budget that is used up.
        clock: seconds; a test gives its own.
    """
    result, start = Throughput(), clock()
    taking = {entry.name: entry for entry in competitors}
    round_s = 0.0
    for batch in BATCHES:
        left = seconds - (clock() - start)
        # A batch twice as large takes about twice as long: one run to warm up, and the rounds.
        expected = 2 * round_s * (_ROUNDS + 1)
        if not taking or expected > left:
            reason = (
                "no competitor takes it" if not taking else f"would take {expected:.0f} s, and {left:.0f} s are left"
            )
            result.absent += [Absent(f"throughput at batch {size}", reason) for size in BATCHES if size >= batch]
            break
        given, runs = feeds(batch), {}
        for name, entry in list(taking.items()):
            run = _bound(entry, given)
            try:
                run()
            except KeyboardInterrupt:
                result.interrupted = True
                return result
            except Exception as error:  # an engine's largest batch, a fixed batch, memory: each runtime's own kinds
                first = (str(error).strip().splitlines() or [type(error).__name__])[0]
                result.absent.append(Absent(f"{name}: throughput from batch {batch}", first[:160]))
                del taking[name]
            else:
                runs[name] = run
        if not runs:
            continue
        measured = measure(runs, 0, clock=clock, min_rounds=_ROUNDS, warm_up=0)
        for name, samples in measured.samples_ms.items():
            if samples:
                result.samples_ms.setdefault(name, {})[batch] = samples
        if measured.interrupted:
            result.interrupted = True
            return result
        round_s = sum(float(np.median(samples)) for samples in measured.samples_ms.values()) / 1e3
        on_share(min(1.0, (clock() - start) / max(seconds, 1e-9)))
    return result


def _bound(entry: Competitor, feeds: Feeds) -> Callable[[], object]:
    return lambda: entry.loaded.infer(feeds)
