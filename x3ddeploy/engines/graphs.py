"""The graphs that engines of a precision are built from; made by `quantize` where the bundle has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from x3ddeploy.bundle import PARTS, Bundle
from x3ddeploy.engines.options import EnginePrecision
from x3ddeploy.engines.place import graph_name
from x3ddeploy.errors import UsageError

_TARGET = "tensorrt"


def with_graphs(
    bundle: Bundle, precision: EnginePrecision, calib: Path | None, *, opset17: bool, progress: Callable[[str], None]
) -> Bundle:
    """The bundle with graphs of the precision.

    Args:
        bundle: opened.
        precision: of the engines.
        calib: clips to calibrate INT8 with; only needed where the bundle has no INT8 graphs.
        opset17: make INT8 graphs for a weakly typed TensorRT, which reads no newer opset.
        progress: told the steps.

    Raises:
        UsageError: the bundle was lowered for another runtime; or INT8 is to be made, and there are no clips.
        GateError: the lower precision loses too much accuracy.
    """
    target = bundle.manifest.target
    if target != _TARGET:
        raise UsageError(
            f"{bundle.path} was lowered for {target}, and TensorRT wants graphs of another form",
            hint=f"x3ddeploy export CKPT -o DIR --target {_TARGET}",
        )
    if all(graph_name(part, precision) in bundle.manifest.files for part in PARTS):
        return bundle
    if precision is EnginePrecision.INT8 and calib is None:
        raise UsageError(
            f"{bundle.path} has no INT8 graphs, and making them takes clips to calibrate with",
            hint="--calib PATH names a data set, an annotation pickle, a folder of .npz files or a script; or see "
            "`x3ddeploy quantize --help`",
        )
    from x3ddeploy.calibration.recipe import Recipe
    from x3ddeploy.precision.pipeline import Reporter, Request, quantize_bundle

    progress(f"the bundle has no {precision.value} graphs: quantizing first")
    request = Request((precision.value,), Recipe(data=str(calib) if calib else None), opset17=opset17)
    return quantize_bundle(bundle, request, Reporter(progress, lambda name, done, total: None)).bundle
