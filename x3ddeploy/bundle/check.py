"""Is a bundle what it says? Files, graphs, labels and golden clip against the manifest, and against each other."""

from __future__ import annotations

from collections.abc import Iterator, Set
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from x3ddeploy.bundle.golden import read_array
from x3ddeploy.bundle.graph_check import graph_problems
from x3ddeploy.bundle.labels import read_labels
from x3ddeploy.bundle.opened import Bundle
from x3ddeploy.bundle.paths import GOLDEN, LABELS, PARTS, PREPROCESSING, golden_folder, graph_name
from x3ddeploy.errors import BundleError, X3DDeployError
from x3ddeploy.modalities import modalities_of
from x3ddeploy.text import escaped

RAW = ("frames", "keypoints", "keypoint_scores")
_OLDER = "made by an older version; export again to have it checked"
_SHOWN = 12
_MOST_PERSONS = 64
# Of the largest value: what the same formulas may differ by on another machine, which is float32 rounding.
_TOLERANCE = 1e-4

Array = npt.NDArray[np.generic]


def open_whole(path: Path) -> Bundle:
    """Open a bundle that is what it says. Raises BundleError: see `Bundle.open` and `require_whole`."""
    bundle = Bundle.open(path)
    require_whole(bundle)
    return bundle


def require_whole(bundle: Bundle) -> None:
    """Refuse a bundle that is not what it says.

    Every file has the manifest's sha256. Every graph is there, and its metadata and shapes are the manifest's. There
    are as many labels as classes. The golden inputs are what the preprocessing makes of the golden frames and
    keypoints, and the golden scores are the logits fused in the manifest's weights.

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
    return [*_graphs(bundle), *_labels(bundle), *_golden(bundle), *_rounding(bundle)]


def unchecked(bundle: Bundle) -> list[str]:
    """What cannot be asked of a bundle, because the version that made it did not write it."""
    return [f"{GOLDEN}: the preprocessing of its clip ({_OLDER})"] if _lacks_raw_clip(bundle) else []


def _lacks_raw_clip(bundle: Bundle) -> bool:
    """Whether a version that wrote the golden clip's frames and keypoints with `--preprocess` alone left them out."""
    manifest = bundle.manifest
    return not manifest.rounding and not any(f"{GOLDEN}/{name}.npy" in manifest.files for name in RAW)


def _graphs(bundle: Bundle) -> Iterator[str]:
    manifest = bundle.manifest
    unknown = [part for part in manifest.tensors if part not in (*PARTS, *PREPROCESSING)]
    yield from (f"tensors: no part is called {part!r}" for part in unknown)
    described = [part for part in manifest.tensors if part not in unknown]
    wanted = {graph_name(part): (part, "fp32") for part in (*PARTS, *described)}
    wanted |= {graph_name(part, name): (part, name) for name in manifest.precisions for part in PARTS}
    for name, (part, precision) in wanted.items():
        if name not in manifest.files:
            yield f"{name}: missing"
        elif part not in manifest.tensors:
            yield f"{name}: the manifest does not describe its tensors"
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
        return
    try:
        names = read_labels(bundle.path / LABELS)
    except BundleError as error:
        yield f"{LABELS}: {'; '.join((error.message, *error.details))}"
        return
    classes = bundle.manifest.spec.head.classes
    if len(names) != classes:
        yield f"{LABELS}: {len(names)} names, and the head has {classes} classes"


def _golden(bundle: Bundle) -> Iterator[str]:
    described = [tensors for part in bundle.manifest.tensors.values() for tensors in part.values()]
    shapes = {name: shape for tensors in described for name, shape in tensors.items()}
    arrays: dict[str, Array] = {}
    raw = () if _lacks_raw_clip(bundle) else RAW
    for name in dict.fromkeys((*shapes, *raw)):
        file = f"{GOLDEN}/{name}.npy"
        if file not in bundle.manifest.files:
            yield f"{file}: missing"
            continue
        try:
            arrays[name] = read_array(bundle.path / file)
        except BundleError as error:
            yield error.message
            continue
        yield from (f"{file}: {problem}" for problem in _array(arrays[name], shapes.get(name)))
    sizes = {len(array) for array in arrays.values() if array.ndim}
    if len(sizes) > 1:
        yield f"{GOLDEN}: tensors of {', '.join(map(str, sorted(sizes)))} clips"
    elif arrays.keys() >= {*shapes, *raw}:
        try:
            yield from _fusion(bundle, arrays)
            if raw:
                yield from _preprocessing(bundle, arrays)
        except (ValueError, IndexError, TypeError, X3DDeployError) as error:
            yield f"{GOLDEN}: its tensors do not belong together: {error}"


def _array(array: Array, shape: list[int | str] | None) -> Iterator[str]:
    if array.dtype not in (np.float32, np.uint8):
        yield f"of {array.dtype}"
    elif not array.size or not np.isfinite(array).all():
        yield "empty, or not finite"
    if shape is None:
        return
    fits = len(shape) == array.ndim and all(
        isinstance(wanted, str) or wanted == found for wanted, found in zip(shape, array.shape, strict=False)
    )
    if not fits:
        yield f"{' x '.join(map(str, array.shape))}, not {' x '.join(map(str, shape))}"


def _preprocessing(bundle: Bundle, golden: dict[str, Array]) -> Iterator[str]:
    """The golden inputs against the golden frames and keypoints, and what the manifest says of preprocessing."""
    contract = bundle.contract
    kinds = modalities_of(contract.inputs)
    clips, persons = len(golden[RAW[0]]), golden[RAW[1]].shape[1]
    wanted = contract.input_shapes(clips)
    for kind in kinds.values():
        wanted |= kind.raw_shapes(clips, persons)
    wrong = [f"{GOLDEN}/{name}.npy: {golden[name].shape}" for name in wanted if golden[name].shape != wanted[name]]
    if wrong or persons > _MOST_PERSONS:
        yield from wrong or [f"{GOLDEN}/keypoints.npy: {persons} persons"]
        return
    for name, kind in kinds.items():
        if not _agree(kind.from_raw(golden), golden[name]):
            yield f"{GOLDEN}/{name}.npy is not {GOLDEN}/{kind.raw[0]}.npy with the manifest's {kind.settings}"


def _fusion(bundle: Bundle, golden: dict[str, Array]) -> Iterator[str]:
    """The golden scores against the golden logits, and the manifest's fusion."""
    weights = np.array(bundle.manifest.fusion) / sum(bundle.manifest.fusion)
    streams = [_softmax(golden[f"{stream}_logits"]) for stream in ("rgb", "pose")]
    if not _agree(weights[0] * streams[0] + weights[1] * streams[1], golden["scores"]):
        yield f"{GOLDEN}/scores.npy is not the logits' softmax in the manifest's fusion"


def _rounding(bundle: Bundle) -> Iterator[str]:
    """Every output has a rounding, or none has: an output without one would be compared with nothing."""
    manifest = bundle.manifest
    outputs = {
        f"{part} -> {name}" for part in PARTS if part in manifest.tensors for name in manifest.tensors[part]["outputs"]
    }
    if manifest.rounding and manifest.rounding.keys() != outputs:
        yield f"rounding: it is not of the graphs' outputs: {_odd(manifest.rounding.keys() ^ outputs)}"
    for precision, made in manifest.precisions.items():
        has_golden = any(name.startswith(f"{golden_folder(precision)}/") for name in manifest.files)
        if (made.rounding or has_golden) and made.rounding.keys() != outputs:
            differing = _odd(made.rounding.keys() ^ outputs)
            yield f"precisions.{precision}.rounding: it is not of the graphs' outputs: {differing}"


def _odd(names: Set[str]) -> str:
    return ", ".join(sorted(names)[:4])


def _softmax(logits: Array) -> npt.NDArray[np.float64]:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    result: npt.NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return result


def _agree(expected: Array, found: Array) -> bool:
    allowed = _TOLERANCE * max(1.0, float(np.abs(expected).max()))
    return bool(
        (np.abs(expected.astype(np.float64) - found.astype(np.float64)) <= allowed).all()
    )  # a question that NaN fails
