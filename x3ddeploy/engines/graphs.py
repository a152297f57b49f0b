"""The graphs that engines of a precision are built from; made by `quantize` where the bundle has none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from x3ddeploy.bundle import Bundle
from x3ddeploy.bundle.paths import graph_name
from x3ddeploy.errors import UsageError
from x3ddeploy.progress import Step, StepsAlone
from x3ddeploy.terms import Precision, Target

MADE_UP_CLIPS = 16  # ranges of made-up clips stand for nothing; these keep every branch of the network alive


@dataclass(frozen=True)
class CalibrationClips:
    """What INT8 graphs are calibrated with, where the bundle has none.

    Attributes:
        data: path of clips; None for none.
        made_up: make clips up, to try the command; the result is marked.
    """

    data: Path | None = None
    made_up: bool = False

    def __post_init__(self) -> None:
        if self.data is not None and self.made_up:
            raise UsageError("--calib-random makes clips up: it does not go with --calib")

    def __bool__(self) -> bool:
        return self.data is not None or self.made_up


def require_graphs(bundle: Bundle, precision: Precision, calib: CalibrationClips) -> None:
    """Refuse a bundle that engines of a precision cannot be built of, before the machine is looked at.

    Args:
        bundle: an opened bundle.
        precision: precision of the engines.
        calib: clips to calibrate INT8 with.

    Raises:
        UsageError: the bundle was lowered for another runtime; or INT8 is to be made, and there are no clips; or there
            are clips, and INT8 is not to be made.
    """
    target = bundle.manifest.target
    if target != Target.TENSORRT:
        raise UsageError(
            f"{bundle.path} was lowered for {target}, and TensorRT wants graphs of another form",
            hint=f"x3ddeploy export CKPT -o DIR --target {Target.TENSORRT}",
        )
    if calib and precision is not Precision.INT8:
        raise UsageError(f"--calib and --calib-random go with --int8: {precision.value} needs no clips")
    if precision is Precision.INT8 and not calib and not _has_graphs(bundle, precision):
        raise UsageError(
            f"{bundle.path} has no INT8 graphs, and making them takes clips to calibrate with",
            hint="--calib PATH names a data set, an annotation pickle, a folder of .npz files or a script; or see "
            "`x3ddeploy quantize --help`",
        )


def with_graphs(
    bundle: Bundle, precision: Precision, calib: CalibrationClips, *, opset17: bool, progress: Step
) -> Bundle:
    """The bundle with graphs of the precision.

    Args:
        bundle: one that `require_graphs` does not refuse.
        precision: precision of the engines.
        calib: clips to calibrate INT8 with; only needed where the bundle has no INT8 graphs.
        opset17: make INT8 graphs for a weakly typed TensorRT, which reads no newer opset.
        progress: receives the steps.

    Raises:
        GateError: the lower precision loses too much accuracy.
    """
    if _has_graphs(bundle, precision):
        if calib:
            progress("the bundle has INT8 graphs: the clips are not used (`x3ddeploy quantize` makes new ones)")
        return bundle
    from x3ddeploy.calibration.recipe import Recipe
    from x3ddeploy.precision.quantize import quantize_bundle
    from x3ddeploy.precision.request import Request

    progress(f"the bundle has no {precision.value} graphs: quantizing first")
    recipe = Recipe(clips=MADE_UP_CLIPS) if calib.made_up else Recipe(data=str(calib.data) if calib.data else None)
    request = Request((precision,), recipe, random=calib.made_up, opset17=opset17)
    return quantize_bundle(bundle, request, StepsAlone(progress)).bundle


def _has_graphs(bundle: Bundle, precision: Precision) -> bool:
    return all(graph_name(part, precision.value) in bundle.manifest.files for part in bundle.contract.parts)
