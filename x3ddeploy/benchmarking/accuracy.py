"""Accuracy beside latency, where it is known: what `x3ddeploy eval` wrote into the bundle."""

from __future__ import annotations

from dataclasses import dataclass

from x3ddeploy.benchmarking.competitor import Absent
from x3ddeploy.bundle import EVAL, Bundle
from x3ddeploy.evaluation.document import SCHEMA_VERSION, KnownEval
from x3ddeploy.files import read_json

_ACCURACY = "accuracy"
_NAMES = {"torch/fp32": "torch/eager"}


@dataclass(frozen=True)
class Accuracy:
    """Top-1 of the fused scores, as a share.

    Attributes:
        videos: it was measured on.
        data: path of the data set.
    """

    top1: float
    videos: int
    data: str


def known_accuracy(bundle: Bundle) -> tuple[dict[str, Accuracy], list[Absent]]:
    """Competitor's name -> accuracy, and why it is not known where an eval.json does not tell it."""
    try:
        report: KnownEval = read_json(bundle.path / EVAL, KnownEval)
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError) as error:
        return {}, [Absent(_ACCURACY, f"{EVAL} cannot be read: {getattr(error, 'strerror', None) or error}")]
    if report.schema_version != SCHEMA_VERSION:
        return {}, [Absent(_ACCURACY, f"{EVAL} has schema version {report.schema_version}, not {SCHEMA_VERSION}")]
    if report.bundle.source.sha256 != bundle.manifest.source.sha256:
        return {}, [Absent(_ACCURACY, f"{EVAL} is of another checkpoint")]
    found = {}
    for result in report.results:
        name = f"{result.runtime}/{result.precision}"
        if report.deployed in result.scores:
            top1 = result.scores[report.deployed].top1
            found[_NAMES.get(name, name)] = Accuracy(top1, report.videos, report.data.path)
    return found, []
