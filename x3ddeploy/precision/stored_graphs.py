"""A bundle's graphs of lower precision, read against its float32 graphs and its calibration."""

from __future__ import annotations

from collections.abc import Set

import onnx

from x3ddeploy.bundle import Bundle, PrecisionEntry
from x3ddeploy.calibration.cache import Calibration
from x3ddeploy.calibration.ranges import Range
from x3ddeploy.contract import WHOLE
from x3ddeploy.errors import BundleError, GateError
from x3ddeploy.files import read_json
from x3ddeploy.precision.faithful import Intent, require_faithful
from x3ddeploy.precision.half import float32_nodes
from x3ddeploy.precision.sites import find_sites, ranges_of_parts
from x3ddeploy.precision.targets import TargetPrecision, target_named
from x3ddeploy.terms import Precision

# The only opset of INT8 graphs whose other tensors stay float32, which TensorRT 8.6 asks for.
_OPSET_WITHOUT_HALF_PAIRS = 17


def require_stored_faithful(bundle: Bundle, precision: str) -> None:
    """Raise GateError where a graph of that precision is something else than the bundle's float32 graph in it.

    Raises:
        BundleError: the calibration cannot be read.
    """
    made = bundle.manifest.precisions[precision]
    ranges = _ranges(bundle, made) if precision == Precision.INT8 else None
    target = target_named(bundle.manifest.target)
    graphs = {part: onnx.load(bundle.part_path(part)) for part in bundle.contract.parts}
    eligible = {site.node for site in find_sites(graphs[WHOLE]) if target.scheme.takes(site)}
    if ranges is not None:
        ranges = ranges_of_parts(ranges, graphs[WHOLE], graphs.values())
    for part, float32 in graphs.items():
        lower = onnx.load(bundle.part_path(part, precision))
        if ranges is None:
            intent = Intent(Precision(precision), {*float32_nodes(float32), *made.float_layers})
        else:
            intent = _int8_intent(target, eligible, float32, lower, ranges)
            _require_told(part, float32, eligible, intent, made)
        require_faithful(float32, lower, intent, f"{precision}/{part}.onnx")


def _int8_intent(
    target: TargetPrecision,
    eligible: Set[str],
    float32: onnx.ModelProto,
    lower: onnx.ModelProto,
    ranges: dict[str, Range],
) -> Intent:
    """What the graph must be, given the layers whose weights are quantized in it."""
    dequantized = {node.output[0] for node in lower.graph.node if node.op_type == "DequantizeLinear"}
    chosen = {node.name for node in lower.graph.node if len(node.input) > 1 and node.input[1] in dequantized}
    sites = tuple(site for site in find_sites(float32) if site.node in chosen and site.node in eligible)
    missing = sorted({site.source for site in sites} - ranges.keys())
    if missing:
        raise BundleError(
            "the calibration of the INT8 graphs lacks tensors", details=missing[:12], hint="quantize again"
        )
    half = None if lower.opset_import[0].version == _OPSET_WITHOUT_HALF_PAIRS else target.rest
    return Intent(half, None, sites, ranges, target.scheme)


def _require_told(
    part: str, float32: onnx.ModelProto, eligible: Set[str], intent: Intent, made: PrecisionEntry
) -> None:
    """What stays in a higher precision is what the manifest says, block by block or layer by layer."""
    quantized = {site.node for site in intent.sites}
    silent = [
        site.node
        for site in find_sites(float32)
        if site.node in eligible - quantized and not {site.node, site.block} & made.float_layers.keys()
    ]
    if silent:
        raise GateError(
            f"int8/{part}.onnx: layers are not quantized, and the manifest does not say so",
            details=silent[:12],
            hint="quantize again",
        )


def _ranges(bundle: Bundle, made: PrecisionEntry) -> dict[str, Range]:
    if made.calibration is None:
        raise BundleError(f"{bundle.path} does not name the calibration of its INT8 graphs", hint="quantize again")
    path = bundle.path / made.calibration
    try:
        calibration: Calibration = read_json(path, Calibration)
    except (OSError, ValueError) as error:
        raise BundleError(f"cannot read the calibration {path}: {error}", hint="quantize again") from error
    return calibration.ranges()
