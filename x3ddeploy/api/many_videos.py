"""What `predict` and `evaluate` have in common over many videos: whose rows they are, and the cluster's workers."""

from __future__ import annotations

from collections.abc import Sequence

from x3ddeploy.bundle import LABELS, Bundle
from x3ddeploy.bundle.paths import graph_name
from x3ddeploy.cluster import Cluster, require_ray
from x3ddeploy.contract import WHOLE
from x3ddeploy.errors import UsageError
from x3ddeploy.runtimes.registry import Execution


def identity(bundle: Bundle, executions: Sequence[Execution]) -> dict[str, object]:
    """What rows depend on beside the videos: the files that compute them, in which runtime. JSON has all of it.

    The device is left out, as a cluster's workers may have several.
    """
    names = [LABELS, graph_name(WHOLE), *(graph_name(WHOLE, execution.precision) for execution in executions)]
    files = bundle.manifest.files
    return {
        "files": {name: files[name].sha256 for name in names if name in files},
        "executions": [[execution.runtime, execution.precision] for execution in executions],
    }


def cluster_of(ray: str | None, ray_workers: int | None, cores: int, executions: Sequence[Execution]) -> Cluster | None:
    """The workers that were asked for, each with a GPU where one of the executions needs one; None for none.

    Raises:
        UsageError: no address of a cluster, or workers without one.
        MissingRequirementError: Ray is not installed.
    """
    if ray is None:
        if ray_workers is not None:
            raise UsageError("workers of a Ray cluster, and no cluster", hint="give --ray, too")
        return None
    cluster = Cluster(ray, ray_workers, cores, int(any(execution.on_gpu for execution in executions)))
    require_ray()
    return cluster
