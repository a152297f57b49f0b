"""In what the convolutions of each competitor of the bundle are computed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import onnx

from x3ddeploy.benchmarking.competitor import Competitor
from x3ddeploy.bundle import Bundle
from x3ddeploy.contract import WHOLE
from x3ddeploy.timing.convolutions import convolutions_in


def computed_in(bundle: Bundle, competitors: Sequence[Competitor]) -> dict[str, dict[str, int]]:
    """Competitor -> precision -> number of convolutions; of engines, fully connected layers count as well.

    The CPU runtimes compute in float32 what they do not compute in INT8, float16 graphs included.
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
    return {"fp32": where.convolutions - where.int8, "int8": where.int8} if where else {}


def _of_engines(bundle: Bundle, entry: Competitor) -> dict[str, int]:
    """Counts of layers from the reports that `build-trt` wrote beside the plans."""
    counts: Counter[str] = Counter()
    for name, engine in bundle.manifest.engines.items():
        options = engine.options
        fits = options.precision.value == entry.loaded.precision and engine.version == entry.loaded.version
        if fits and engine.part in bundle.contract.pieces:
            report = json.loads((bundle.path / f"{name.removesuffix('.plan')}.json").read_bytes())
            counts.update(report.get("built", {}).get("precision", {}).get("counts", {}))
    return dict(counts)
