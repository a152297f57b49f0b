"""Which precisions the convolutions of each competitor of the bundle are computed in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import onnx

from x3ddeploy.benchmarking.competitor import Competitor
from x3ddeploy.bundle import Bundle
from x3ddeploy.contract import WHOLE
from x3ddeploy.engines.document import EngineReport
from x3ddeploy.errors import BundleError
from x3ddeploy.files import read_json
from x3ddeploy.timing.convolutions import convolutions_in


def computed_in(bundle: Bundle, competitors: Sequence[Competitor]) -> dict[str, dict[str, int]]:
    """Competitor -> precision -> number of convolutions; of engines, fully connected layers count as well.

    The CPU runtimes compute in float32 what they do not compute in INT8 or bfloat16, float16 graphs included.
    """
    found = {}
    for entry in competitors:
        if not entry.loaded.is_ours:
            continue
        counts = _of_engines(bundle, entry) if entry.loaded.engine_bytes is not None else _of_graph(bundle, entry)
        if counts:
            found[entry.name] = {precision: count for precision, count in counts.items() if count}
    return found


def _of_graph(bundle: Bundle, entry: Competitor) -> dict[str, int]:
    where = convolutions_in(entry.loaded.runtime, onnx.load(bundle.part_path(WHOLE, entry.loaded.precision)))
    if where is None:
        return {}
    return {"fp32": where.convolutions - where.int8 - where.bf16, "bf16": where.bf16, "int8": where.int8}


def _of_engines(bundle: Bundle, entry: Competitor) -> dict[str, int]:
    """Counts of layers from the reports that `build-trt` wrote beside the plans."""
    counts: Counter[str] = Counter()
    for name, engine in bundle.manifest.engines.items():
        options = engine.options
        fits = options.precision.value == entry.loaded.precision and engine.version == entry.loaded.version
        if fits and engine.part in bundle.contract.pieces:
            counts.update(_report_of(bundle, name).built.precision.counts)
    return dict(counts)


def _report_of(bundle: Bundle, plan: str) -> EngineReport:
    path = bundle.path / f"{plan.removesuffix('.plan')}.json"
    try:
        return read_json(path, EngineReport)
    except (OSError, ValueError) as error:
        raise BundleError(
            f"cannot read {path}: {error}", hint="build the engine again with x3ddeploy build-trt"
        ) from error
