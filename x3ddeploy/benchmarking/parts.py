"""Where the time goes, part by part: preparation, each part; those of a wave in turn and side by side.

Float32, one clip, ready tensors in host memory to outputs there. Engines overlap their streams on the GPU by themselves
and are not taken apart here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from x3ddeploy.benchmarking.competitor import Absent
from x3ddeploy.benchmarking.workbench import Workbench
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.runtimes.base import Array, Feeds, Session
from x3ddeploy.runtimes.registry import graph_runtimes, open_session

PREPARATION, IN_TURN, SIDE_BY_SIDE = "preparation", "streams in turn", "streams side by side"

Runs = dict[str, Callable[[], object]]


def part_runs(bench: Workbench) -> tuple[Runs, list[Absent]]:
    """What is timed, by '<runtime>/<part>' and 'preparation/<step>', and what is not."""
    runs: Runs = {}
    absent = []
    try:
        runs |= {f"{PREPARATION}/{name}": step for name, step in bench.video.steps().items()}
    except X3DDeployError as error:
        absent.append(Absent(PREPARATION, error.message))
    feeds = bench.feeds(1) if bench.bundle.manifest.batch in (None, 1) else None
    for runtime in graph_runtimes():
        if feeds is None:
            absent.append(Absent(f"{runtime}: parts", "the bundle's batch is fixed, and not at one clip"))
        else:
            bench.progress(f"loading the parts in {runtime}")
            runs |= {f"{runtime}/{name}": run for name, run in _of_runtime(bench, runtime, feeds).items()}
    return runs, absent


def _of_runtime(bench: Workbench, runtime: str, feeds: Feeds) -> Runs:
    threads, contract = bench.setting.threads, bench.bundle.contract

    def opened(part: str, count: int) -> Session:
        return open_session(runtime, bench.bundle.part_path(part), threads=count)

    sessions = {part: opened(part, threads) for part in contract.pieces}

    def taken(part: str, values: Mapping[str, Array]) -> dict[str, Array]:
        return {name: values[name] for name in contract.parts[part].inputs}

    def in_turn() -> dict[str, Array]:
        values = dict(feeds)
        for part in (part for wave in contract.waves for part in wave):
            values |= sessions[part].run(taken(part, values))
        return values

    values = in_turn()
    runs: Runs = {part: _bound(session, taken(part, values)) for part, session in sessions.items()}
    runs[IN_TURN] = in_turn
    widest = max(map(len, contract.waves))
    if widest > 1 and threads >= widest:  # as many threads in all as the others have, shared by those of a wave
        shares = {part: opened(part, threads // len(wave)) for wave in contract.waves for part in wave if len(wave) > 1}
        pool = ThreadPoolExecutor(max_workers=widest)

        def side_by_side() -> None:
            values = dict(feeds)
            for wave in contract.waves:
                chosen = [(shares.get(part, sessions[part]), taken(part, values)) for part in wave]
                for outputs in pool.map(lambda entry: entry[0].run(entry[1]), chosen):
                    values |= outputs

        runs[SIDE_BY_SIDE] = side_by_side
    return runs


def _bound(session: Session, feeds: Feeds) -> Callable[[], object]:
    return lambda: session.run(feeds)
