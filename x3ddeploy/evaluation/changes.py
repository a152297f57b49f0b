"""What an evaluation changed against an earlier one of as many videos: another checkpoint, or other keypoints."""

from __future__ import annotations

from pathlib import Path

from x3ddeploy.errors import UsageError
from x3ddeploy.evaluation.document import SCHEMA_VERSION, Changes, EarlierEval, Result
from x3ddeploy.files import read_json


def read_earlier(path: Path) -> EarlierEval:
    """An earlier eval.json. Raises UsageError where it is none."""
    try:
        report: EarlierEval = read_json(path, EarlierEval)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise UsageError(f"{path} is no eval.json: {error}", hint="`x3ddeploy eval -o DIR` writes one") from error
    if report.schema_version != SCHEMA_VERSION:
        raise UsageError(f"{path} has schema version {report.schema_version}, not {SCHEMA_VERSION}")
    return report


def changes(path: Path, earlier: EarlierEval, report: EarlierEval) -> Changes:
    """Accuracies of both, of the first runtime and precision that both have.

    Args:
        path: path of the earlier one.
        earlier: what it holds.
        report: the new one.

    Raises:
        UsageError: they are not of as many videos of each class, or have no runtime and precision in common.
    """
    if earlier.classes != report.classes:
        raise UsageError(
            f"{path} is of {earlier.videos} videos, and these are {report.videos}, or of other classes",
            hint="evaluate the same split of the same data both times",
        )
    known = {_place(result): result for result in earlier.results}
    now = next((result for result in report.results if _place(result) in known), None)
    if now is None:
        raise UsageError(f"{path} has none of these runtimes and precisions", hint="choose them with --runtime")
    before = known[_place(now)]
    return Changes(
        path=str(path),
        data=earlier.data.path,
        runtime=now.runtime,
        precision=now.precision,
        before={name: scores for name, scores in before.scores.items() if name in now.scores},
        after={name: scores for name, scores in now.scores.items() if name in before.scores},
    )


def _place(result: Result) -> tuple[str, str]:
    return result.runtime, result.precision
