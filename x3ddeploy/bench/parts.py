"""Where the time goes, part by part: preparation, both backbones, the head; the streams in turn and side by side.

Float32, one clip, ready tensors in host memory to outputs there. Engines overlap their streams on the GPU by themselves
and are not taken apart here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from x3ddeploy.bench.competitor import Absent, Feeds
from x3ddeploy.bench.loaders import CPU_RUNTIMES
from x3ddeploy.bench.workbench import Workbench
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.parity.compare import PART_INPUTS
from x3ddeploy.runtimes.base import Session, is_available, open_session

BACKBONES = ("rgb_backbone", "pose_backbone")
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
    for runtime in CPU_RUNTIMES:
        if feeds is None:
            absent.append(Absent(f"{runtime}: parts", "the bundle's batch is fixed, and not at one clip"))
        elif is_available(runtime):
            bench.progress(f"loading the parts in {runtime}")
            runs |= {f"{runtime}/{name}": run for name, run in _of_runtime(bench, runtime, feeds).items()}
    return runs, absent


def _of_runtime(bench: Workbench, runtime: str, feeds: Feeds) -> Runs:
    threads = bench.setting.threads

    def opened(part: str, count: int) -> Session:
        return open_session(runtime, bench.bundle.part_path(part), threads=count)

    whole = {part: opened(part, threads) for part in (*BACKBONES, "head")}
    inputs = {part: {name: feeds[name] for name in PART_INPUTS[part]} for part in BACKBONES}
    features: dict[str, object] = {}
    for part in BACKBONES:
        features |= whole[part].run(inputs[part])
    ready: Mapping[str, Feeds] = {**inputs, "head": features}  # type: ignore[dict-item]

    def in_turn() -> None:
        values = {**whole["rgb_backbone"].run(inputs["rgb_backbone"])}
        values |= whole["pose_backbone"].run(inputs["pose_backbone"])
        whole["head"].run(values)

    runs: Runs = {part: _bound(session, ready[part]) for part, session in whole.items()}
    runs[IN_TURN] = in_turn
    if threads > 1:  # as many threads in all as the others have, half of them a stream
        halves = {part: opened(part, threads // 2) for part in BACKBONES}
        pool = ThreadPoolExecutor(max_workers=2)

        def side_by_side() -> None:
            futures = [pool.submit(halves[part].run, inputs[part]) for part in BACKBONES]
            values = {name: value for future in futures for name, value in future.result().items()}
            whole["head"].run(values)

        runs[SIDE_BY_SIDE] = side_by_side
    return runs


def _bound(session: Session, feeds: Feeds) -> Callable[[], object]:
    return lambda: session.run(feeds)
