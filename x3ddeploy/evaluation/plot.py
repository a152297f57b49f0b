"""A confusion matrix as a picture."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from x3ddeploy.atomic import write_bytes
from x3ddeploy.bundle import Bundle
from x3ddeploy.errors import MissingRequirementError
from x3ddeploy.evaluation.document import EvalReport
from x3ddeploy.evaluation.evaluate import Evaluation
from x3ddeploy.evaluation.metrics import Classes
from x3ddeploy.evaluation.report import class_names, confusions, deployed_score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INSTALL = "pip install 'x3ddeploy[plot]'"

_MOST_NUMBERS = 20  # classes; with more of them the numbers in the cells cannot be read
_INCHES_A_CLASS, _SMALLEST_INCHES, _LARGEST_INCHES = 0.32, 5.0, 24.0
_LONGEST_NAME = 28
_FONT_SIZE = 8
_DPI = 120
_GAMMA = 0.5  # so that a class taken for another once in twenty times can be seen


def can_plot() -> bool:
    """Whether matplotlib is installed (it is not imported)."""
    return importlib.util.find_spec("matplotlib") is not None


def require_plot() -> None:
    """Raises MissingRequirementError where matplotlib is not installed."""
    if not can_plot():
        raise MissingRequirementError("drawing a confusion matrix needs matplotlib", hint=INSTALL)


def plot_confusions(path: Path, confusions: Classes, names: Sequence[str], title: str) -> None:
    """Draw shares of each label's videos, with the numbers of videos in the cells where they can be read.

    Args:
        path: its suffix is the format: `.png` or `.svg`.
        confusions: (classes, classes), rows are labels.
        names: names of the classes.
        title: says which scores, in what, on which data.

    Raises:
        MissingRequirementError: matplotlib is not installed.
        X3DDeployError: the file cannot be written.
    """
    require_plot()
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # without pyplot: no display, no state that outlives the figure

    size = min(max(_INCHES_A_CLASS * len(names) + 2.5, _SMALLEST_INCHES), _LARGEST_INCHES)
    buffer = io.BytesIO()
    # `$` in a name begins no formula. Ids and the date in an SVG are fixed: the same numbers give the same file.
    with rc_context({"text.parse_math": False, "svg.hashsalt": "x3ddeploy"}):
        figure = Figure(figsize=(size + 1, size), layout="constrained")
        _draw(figure, confusions, names, title)
        fixed = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(buffer, format=path.suffix.removeprefix("."), dpi=_DPI, metadata=fixed)
    write_bytes(path, buffer.getvalue())


def plot_evaluation(
    bundle: Bundle, evaluation: Evaluation, report: EvalReport, folder: Path, suffix: str
) -> list[Path]:
    """Draw the deployed score's confusion matrix of every runtime and precision; gives the files.

    Args:
        bundle: what was evaluated.
        evaluation: the scores.
        report: what eval.json says of them.
        folder: where the files go.
        suffix: 'png' or 'svg'.
    """
    paths = []
    for outcome in evaluation.outcomes:
        path = folder / f"confusion_{outcome.execution.place}_{outcome.execution.precision}.{suffix}"
        title = f"{outcome.execution}, {report.deployed}: {report.videos} videos {report.data.split or ''}"
        counted = confusions(evaluation, outcome, deployed_score(bundle.contract))
        plot_confusions(path, counted, class_names(bundle), title)
        paths.append(path)
    return paths


def _draw(figure: Figure, confusions: Classes, names: Sequence[str], title: str) -> None:
    from matplotlib.colors import PowerNorm

    axes = figure.add_subplot()
    shares = confusions / confusions.sum(1, keepdims=True).clip(min=1)
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(_GAMMA, 0, 1))
    figure.colorbar(image, ax=axes, label="share of the label's videos", shrink=0.8)
    short = [name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…" for name in names]
    axes.set_xticks(range(len(names)), short, rotation=90, fontsize=_FONT_SIZE)
    axes.set_yticks(range(len(names)), short, fontsize=_FONT_SIZE)
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    axes.set_title(title, fontsize=_FONT_SIZE + 2)
    if len(names) <= _MOST_NUMBERS:
        for label, predicted in np.argwhere(confusions):
            colour = "white" if shares[label, predicted] ** _GAMMA > 0.5 else "black"
            count = str(confusions[label, predicted])
            axes.text(predicted, label, count, ha="center", va="center", color=colour, fontsize=_FONT_SIZE)
