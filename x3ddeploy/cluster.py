"""A function over many items on the machines of a Ray cluster: opened once a worker, then called for a few at a time.

Ray Data feeds a pool of actors. A worker that dies is started anew and its items are tried again, then one by one; what
kills its worker every time is given up, and said so. What a worker raises, the caller gets.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import re
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from x3ddeploy.errors import MissingRequirementError, UsageError, X3DDeployError
from x3ddeploy.progress import Step

Item = TypeVar("Item")
Result = TypeVar("Result")
Worker = Callable[[Sequence[Item]], Result]

LOCAL = "local"
_AUTO = "auto"
_ADDRESS = re.compile(rf"{LOCAL}|{_AUTO}|[\w.-]+:\d+|\[[0-9a-fA-F:]+\]:\d+")
_MOST_TRIES = 3  # of a task whose worker dies
_MOST_TASKS = 10_000  # Ray Data holds a record of each
_STORE_BYTES = 256 << 20  # of a cluster of its own: results are small


@dataclass(frozen=True)
class Cluster:
    """Where workers run, and what each asks for.

    Attributes:
        address: HOST:PORT of a cluster; 'auto' for one that runs on this machine; 'local' for a new one here, which
            ends with the work; '' for what RAY_ADDRESS names, else one that runs here, else a new one.
        workers: how many; None for as many as there is room for.
        cores: cores of each.
        gpus: GPUs of each.
    """

    address: str = ""
    workers: int | None = None
    cores: int = 1
    gpus: int = 0

    def __post_init__(self) -> None:
        if self.address and not _ADDRESS.fullmatch(self.address):
            raise UsageError(
                f"{self.address!r} is no address of a Ray cluster",
                hint="HOST:6379, run on one of its machines; 'local' for a new one; or --ray at the end of the line",
            )


def on_cluster(
    cluster: Cluster,
    open_worker: Callable[[], Worker[Item, Result]],
    items: Sequence[Item],
    tell: Step,
    *,
    at_a_time: int = 1,
) -> Iterator[tuple[list[Item], Result | None]]:
    """Results of groups of items, in the order in which they are done; None for an item that its worker died of.

    Args:
        cluster: where.
        open_worker: makes the function in each worker. It is pickled, and finds the same files at the same paths.
        items: pickled as well.
        tell: receives how many workers there are.
        at_a_time: items of a group, at least.

    Raises:
        MissingRequirementError: Ray is not installed, or the cluster has no machine that a worker fits on.
        X3DDeployError: there is no such cluster; and whatever a worker raises.
    """
    ray = require_ray()
    with _connected(ray, cluster.address) as where:
        size = max(at_a_time, -(-len(items) // _MOST_TASKS))
        groups = [list(items[start : start + size]) for start in range(0, len(items), size)]
        room = _room(ray, cluster)
        told = f"workers of {cluster.cores} cores{f' and {cluster.gpus} GPU' if cluster.gpus else ''}, on {where}"
        while groups:
            workers = min(cluster.workers or room, len(groups))
            tell(f"{len(groups)} tasks for {workers} {told}")
            alone: list[list[Item]] = []
            for group, outcome in _results(ray, cluster, open_worker, groups, workers):
                if isinstance(outcome, _Raised):
                    raise outcome.error
                if not isinstance(outcome, _Lost):
                    yield group, outcome
                elif len(group) == 1:
                    yield group, None
                else:
                    alone += [[item] for item in group]
            groups = alone


def require_ray() -> Any:
    """The package. Raises MissingRequirementError where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers of every cluster
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingRequirementError(
            f"Ray Data is not installed: {error}", hint="pip install 'x3ddeploy[ray]', on each machine of the cluster"
        ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


@contextlib.contextmanager
def _connected(ray: Any, address: str) -> Iterator[str]:
    """The cluster in words; a connection that is there already is taken, and left."""
    if ray.is_initialized():
        yield "the Ray cluster that is connected"
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    address = address or os.environ.get("RAY_ADDRESS", "")
    where = f"the Ray cluster at {address}"
    try:
        if address in ("", _AUTO):
            where = "the Ray cluster of this machine"
            try:
                ray.init(_AUTO, **quiet)
            except ConnectionError:
                if address:
                    raise
                address = LOCAL
        elif address != LOCAL:
            ray.init(address, **quiet)
        if address == LOCAL:
            where = "a new Ray cluster on this machine"
            ray.init(LOCAL, include_dashboard=False, object_store_memory=_STORE_BYTES, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise X3DDeployError(
            f"{where} cannot be used: {str(error).partition(chr(10))[0]}",
            hint="run on one of its machines, with its versions of Python and Ray: `ray status` tells",
        ) from error
    try:
        yield where
    finally:
        ray.shutdown()


def _room(ray: Any, cluster: Cluster) -> int:
    """How many workers the cluster's machines hold, were nothing else there."""
    room = 0
    for node in ray.nodes():
        if node["Alive"]:
            there = node["Resources"]
            fits = int(there.get("CPU", 0) // cluster.cores)
            room += min(fits, int(there.get("GPU", 0) // cluster.gpus)) if cluster.gpus else fits
    if not room:
        raise MissingRequirementError(
            f"no machine of the cluster has {cluster.cores} cores and {cluster.gpus} GPUs for a worker",
            hint="--workers sets its cores, --device whether it takes a GPU; `ray status` tells what is there",
        )
    return room


def _results(
    ray: Any, cluster: Cluster, open_worker: Callable[[], Worker[Item, Result]], groups: list[list[Item]], workers: int
) -> Iterator[tuple[list[Item], Result | _Raised | _Lost]]:
    """What came of each group on so many workers of a connected cluster."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    tries = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Tries).remote()
    rows = ray.data.from_items(
        [{"number": number, "items": pickle.dumps(group)} for number, group in enumerate(groups)],
        override_num_blocks=len(groups),  # one is a task
    ).map(
        _Opened,
        fn_constructor_args=(open_worker, str(Path.cwd()), tries),
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=cluster.cores,
        num_gpus=cluster.gpus,
    )
    try:
        for row in rows.iter_rows():
            yield groups[row["number"]], pickle.loads(row["outcome"])  # noqa: S301 (a worker of ours made it)
    except ray.exceptions.RayError as error:
        raise X3DDeployError(
            f"Ray gave up: {str(error).strip().partition(chr(10))[0]}",
            hint="x3ddeploy must be installed on each machine of the cluster, in the same version",
        ) from error


class _Tries:
    """An actor that counts how often each task was begun: Ray Data tries one again for ever if its worker dies."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()

    def begin(self, number: int) -> int:
        """How often the task of that number was begun, this time included."""
        self._begun[number] += 1
        return self._begun[number]


@dataclass(frozen=True)
class _Lost:
    """Instead of a result: the worker died of it each time."""


@dataclass(frozen=True)
class _Raised:
    """What a worker raised instead of a result."""

    error: X3DDeployError


class _Opened(Generic[Item, Result]):
    """The actor: what it is called with is a row, and what it gives as well.

    Args:
        open_worker: see `on_cluster`.
        folder: the command's working folder, so that relative paths are the same.
        tries: the actor _Tries.
    """

    def __init__(self, open_worker: Callable[[], Worker[Item, Result]], folder: str, tries: Any) -> None:
        self._tries = tries
        with contextlib.suppress(OSError):  # where it is not there, and paths need it, they are not found
            os.chdir(folder)
        try:
            self._worker: Worker[Item, Result] | _Raised = open_worker()
        except Exception as error:  # raised here, Ray would try again for ever
            self._worker = _Raised(_told(error))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        import ray

        outcome: Any = self._worker
        if ray.get(self._tries.begin.remote(row["number"])) > _MOST_TRIES:
            outcome = _Lost()
        elif not isinstance(outcome, _Raised):
            try:
                outcome = outcome(pickle.loads(row["items"]))  # noqa: S301 (the command made it)
            except Exception as error:
                outcome = _Raised(_told(error))
        return {"number": row["number"], "outcome": pickle.dumps(outcome)}


def _told(error: Exception) -> X3DDeployError:
    """An error that can be sent: libraries' own may not be picklable."""
    if isinstance(error, X3DDeployError):
        return error
    what = f"a worker failed: {type(error).__name__}: {error}"
    return X3DDeployError(what, details=traceback.format_exc().splitlines())
