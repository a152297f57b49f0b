"""Is a bundle what it says? Its files, graphs, labels, golden clip and reports against the manifest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx

from x3ddeploy.bundle.golden_check import golden_problems
from x3ddeploy.bundle.graph_check import graph_problems
from x3ddeploy.bundle.labels import read_labels
from x3ddeploy.bundle.manifest import Manifest
from x3ddeploy.bundle.opened import Bundle
from x3ddeploy.bundle.paths import GOLDEN, LABELS, golden_folder, graph_name
from x3ddeploy.bundle.report_check import engine_problems, rounding_problems
from x3ddeploy.errors import BundleError, X3DDeployError
from x3ddeploy.families.manifests import contradictions
from x3ddeploy.text import escaped

_SHOWN = 12


def open_whole(path: Path) -> Bundle:
    """Open a bundle that is what it says. Raises BundleError: see `Bundle.open` and `require_whole`."""
    bundle = Bundle.open(path)
    require_whole(bundle)
    return bundle


def require_whole(bundle: Bundle) -> None:
    """Refuse a bundle that is not what it says.

    Every file has the manifest's sha256. The contract is the one that follows from the model, where its family is
    known here. Every graph is there, and its metadata, shapes and blocks are the manifest's. There are as many labels
    as classes. The golden inputs are what the preprocessing makes of the golden frames and keypoints, and the golden
    scores are the logits fused in the manifest's weights.

    Raises:
        BundleError: it is not; every problem is listed.
    """
    problems = problems_of(bundle)
    if problems:
        more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise BundleError(
            f"{bundle.path} is not what its manifest says",
            details=[*map(escaped, problems[:_SHOWN]), *more],
            hint="do not deploy it; export again",
        )


def problems_of(bundle: Bundle) -> list[str]:
    """Everything in which a bundle is not what it says; empty where it is whole."""
    altered = bundle.altered_files()
    if altered:
        return altered  # what is in other files than the manifest's says nothing of it
    return [
        *_contract(bundle),
        *_graphs(bundle),
        *_unnamed(bundle.manifest),
        *_labels(bundle),
        *golden_problems(bundle),
        *rounding_problems(bundle),
        *engine_problems(bundle),
    ]


def _contract(bundle: Bundle) -> Iterator[str]:
    try:
        yield from contradictions(bundle.manifest.model, bundle.contract)
    except (ValueError, X3DDeployError) as error:
        reason = error.message if isinstance(error, X3DDeployError) else error  # its hint is for who gives options
        yield f"its model is none of the family {bundle.manifest.family}: {reason}"


def _wanted(manifest: Manifest) -> dict[str, tuple[str, str]]:
    """Files of the graphs that there are to be -> part and precision."""
    wanted = {graph_name(part): (part, "fp32") for part in (*manifest.parts, *manifest.preprocessing)}
    return wanted | {graph_name(part, name): (part, name) for name in manifest.precisions for part in manifest.parts}


def _unnamed(manifest: Manifest) -> Iterator[str]:
    """Graphs, golden outputs and engines that are there, and that the manifest says nothing else of."""
    wanted = {*_wanted(manifest), *manifest.engines}
    golden = {golden_folder(name) for name in ("fp32", *manifest.precisions)}
    for name in manifest.files:
        folder, _, file = name.rpartition("/")
        is_golden = name.split("/")[0] == GOLDEN
        named = folder in golden if is_golden else name in wanted or not file.endswith((".onnx", ".plan"))
        if not named:
            yield f"{name}: nothing in the manifest says what it is"


def _graphs(bundle: Bundle) -> Iterator[str]:
    manifest = bundle.manifest
    for name, (part, precision) in _wanted(manifest).items():
        if name not in manifest.files:
            yield f"{name}: missing"
        else:
            yield from (f"{name}: {problem}" for problem in _graph(bundle, name, part, precision))


def _graph(bundle: Bundle, name: str, part: str, precision: str) -> Iterator[str]:
    try:
        model = onnx.load_from_string((bundle.path / name).read_bytes())
    except Exception as error:  # protobuf raises many kinds; all of them mean the same here
        yield f"not a valid ONNX file: {error}"
        return
    yield from graph_problems(model, bundle.manifest, part, precision)


def _labels(bundle: Bundle) -> Iterator[str]:
    if LABELS not in bundle.manifest.files:
        if (bundle.path / LABELS).exists():
            yield f"{LABELS}: it is there, and the manifest does not name it"
        return
    try:
        names = read_labels(bundle.path / LABELS)
    except BundleError as error:
        yield f"{LABELS}: {'; '.join((error.message, *error.details))}"
        return
    classes = bundle.contract.classes
    if len(names) != classes:
        yield f"{LABELS}: {len(names)} names, and the network has {classes} classes"
