"""Is a bundle what it says? Files, graphs, labels and golden clip against the manifest, and against each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
from msgspec import UNSET, UnsetType

from x3ddeploy.bundle.golden import read_array
from x3ddeploy.bundle.graph_check import graph_problems
from x3ddeploy.bundle.labels import read_labels
from x3ddeploy.bundle.manifest import EngineEntry, Manifest, Spread
from x3ddeploy.bundle.opened import Bundle
from x3ddeploy.bundle.paths import GOLDEN, LABELS, PARITY, golden_folder, graph_name
from x3ddeploy.contract import Contract, OutputKind, Shape
from x3ddeploy.errors import BundleError, X3DDeployError
from x3ddeploy.families.manifests import contradictions
from x3ddeploy.files import JSON_LIMIT, read_json
from x3ddeploy.modalities import modalities_of
from x3ddeploy.probabilities import probabilities
from x3ddeploy.text import escaped

_OLDER = "made by an older version; export again to have it checked"
_SHOWN = 12
_KEYPOINTS, _MOST_PERSONS = "keypoints", 64
# Of the largest value: what the same formulas may differ by on another machine, which is float32 rounding.
_TOLERANCE = 1e-4

_REPORT = "report.json"  # in the folder of a precision

Array = npt.NDArray[np.generic]
D = TypeVar("D")


class _Measured(msgspec.Struct):
    """What of parity.json or of a precision's report is in the manifest, too; less in those of older versions."""

    rounding: dict[str, float | Spread] | UnsetType = UNSET
    golden_error: dict[str, float] | UnsetType = UNSET
    float_layers: dict[str, str] | UnsetType = UNSET
    random: bool | UnsetType = UNSET
    accuracy: dict[str, dict[str, Any]] | UnsetType | None = UNSET


class _Built(msgspec.Struct):
    """What of an engine's report is in the manifest, too."""

    entry: EngineEntry | UnsetType = UNSET


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
        *_golden(bundle),
        *_rounding(bundle),
        *_engines(bundle),
    ]


def unchecked(bundle: Bundle) -> list[str]:
    """What cannot be asked of a bundle: of older versions, and of inputs that are prepared elsewhere."""
    try:
        raw = _raw_names(bundle.contract)
    except BundleError as error:
        return [f"{GOLDEN}: the preprocessing of its clip ({error.message})"]
    return [f"{GOLDEN}: the preprocessing of its clip ({_OLDER})"] if _lacks_raw_clip(bundle, raw) else []


def _lacks_raw_clip(bundle: Bundle, raw: tuple[str, ...]) -> bool:
    """Whether a version that wrote the golden clip's frames and keypoints with `--preprocess` alone left them out."""
    manifest = bundle.manifest
    return not manifest.rounding and not any(f"{GOLDEN}/{name}.npy" in manifest.files for name in raw)


def _raw_names(contract: Contract) -> tuple[str, ...]:
    """What of a golden clip its inputs were made from. Raises BundleError where they are prepared elsewhere."""
    return tuple(name for kind in modalities_of(contract.inputs).values() for name in kind.raw)


def _raw_to_check(bundle: Bundle) -> tuple[str, ...]:
    return () if unchecked(bundle) else _raw_names(bundle.contract)


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
        return
    try:
        names = read_labels(bundle.path / LABELS)
    except BundleError as error:
        yield f"{LABELS}: {'; '.join((error.message, *error.details))}"
        return
    classes = bundle.contract.classes
    if len(names) != classes:
        yield f"{LABELS}: {len(names)} names, and the network has {classes} classes"


def _golden(bundle: Bundle) -> Iterator[str]:
    contract = bundle.contract
    shapes: dict[str, Shape | None] = {name: value.shape for name, value in contract.inputs.items()}
    shapes |= {name: value.shape for name, value in contract.outputs.items()}
    raw = _raw_to_check(bundle)
    shapes |= dict.fromkeys(raw)
    arrays: dict[str, Array] = {}
    for name, shape in shapes.items():
        file = f"{GOLDEN}/{name}.npy"
        if file not in bundle.manifest.files:
            yield f"{file}: missing"
            continue
        try:
            arrays[name] = read_array(bundle.path / file)
        except BundleError as error:
            yield error.message
            continue
        yield from (f"{file}: {problem}" for problem in _array(arrays[name], shape))
    sizes = {len(array) for array in arrays.values() if array.ndim}
    if len(sizes) > 1:
        yield f"{GOLDEN}: tensors of {', '.join(map(str, sorted(sizes)))} clips"
    elif arrays.keys() >= shapes.keys():
        try:
            yield from _scores(contract, arrays)
            if raw:
                yield from _preprocessing(contract, arrays)
        except (ValueError, IndexError, TypeError, X3DDeployError) as error:
            yield f"{GOLDEN}: its tensors do not belong together: {error}"


def _array(array: Array, shape: Shape | None) -> Iterator[str]:
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


def _preprocessing(contract: Contract, golden: dict[str, Array]) -> Iterator[str]:
    """The golden inputs against the golden frames and keypoints, and what the contract says of preprocessing."""
    kinds = modalities_of(contract.inputs)
    clips = len(next(iter(golden.values())))
    persons = golden[_KEYPOINTS].shape[1] if _KEYPOINTS in golden else 0
    wanted = contract.input_shapes(clips)
    for kind in kinds.values():
        wanted |= kind.raw_shapes(clips, persons)
    wrong = [f"{GOLDEN}/{name}.npy: {golden[name].shape}" for name in wanted if golden[name].shape != wanted[name]]
    if wrong or persons > _MOST_PERSONS:
        yield from wrong or [f"{GOLDEN}/{_KEYPOINTS}.npy: {persons} persons"]
        return
    for name, kind in kinds.items():
        if not _agree(kind.from_raw(golden), golden[name]):
            yield f"{GOLDEN}/{name}.npy is not {GOLDEN}/{kind.raw[0]}.npy with the manifest's {kind.settings}"


def _scores(contract: Contract, golden: dict[str, Array]) -> Iterator[str]:
    """The golden scores against the golden logits, and the deployed score's weights."""
    weights = contract.scores[contract.deployed].shares()
    fused = sum(
        weight * probabilities(golden[logits], contract.outputs[logits].activation)
        for logits, weight in weights.items()
    )
    for name, output in contract.outputs.items():
        if output.kind is OutputKind.SCORES and not _agree(np.asarray(fused), golden[name]):
            yield f"{GOLDEN}/{name}.npy is not what the logits give in the manifest's weights"


def _rounding(bundle: Bundle) -> Iterator[str]:
    """Every output has a rounding, or none has: an output without one would be compared with nothing."""
    manifest = bundle.manifest
    outputs = {f"{name} -> {output}" for name, part in manifest.parts.items() for output in part.outputs}
    if manifest.rounding and manifest.rounding.keys() != outputs:
        yield f"rounding: it is not of the graphs' outputs: {_odd(manifest.rounding.keys() ^ outputs)}"
    for precision, made in manifest.precisions.items():
        has_golden = any(name.startswith(f"{golden_folder(precision)}/") for name in manifest.files)
        if (made.rounding or has_golden) and made.rounding.keys() != outputs:
            differing = _odd(made.rounding.keys() ^ outputs)
            yield f"precisions.{precision}.rounding: it is not of the graphs' outputs: {differing}"
        outputs_there = [f"{golden_folder(precision)}/{name}.npy" for name in bundle.contract.outputs]
        yield from (f"{file}: missing" for file in outputs_there if made.rounding and file not in manifest.files)
        said = {
            "rounding": made.rounding,
            "golden_error": made.golden_error,
            "float_layers": made.float_layers,
            "random": made.random_calibration,
            "accuracy": made.accuracy,
        }
        yield from _as_measured(bundle, f"{precision}/{_REPORT}", f"precisions.{precision}.", said)
    yield from _as_measured(bundle, PARITY, "", {"rounding": manifest.rounding})


def _as_measured(bundle: Bundle, file: str, place: str, said: Mapping[str, Any]) -> Iterator[str]:
    """What a manifest says was measured is what was written down when it was; older versions wrote less.

    Tolerances are multiples of some of it.
    """
    if file not in bundle.manifest.files:
        if said["rounding"]:
            yield f"{file}: missing"
        return
    measured = _written(bundle, file, _Measured)
    if isinstance(measured, str):
        yield measured
        return
    for key, value in said.items():
        found = getattr(measured, key)
        if key == "accuracy" and found and value:  # the file says more of each score
            found = {score: {name: entry.get(name) for name in value.get(score, ())} for score, entry in found.items()}
        if found is not UNSET and found != value:
            yield f"{place}{key}: it is not that of {file}"


def _engines(bundle: Bundle) -> Iterator[str]:
    """What a manifest says of an engine is what was written down beside it when it was built."""
    for name, entry in bundle.manifest.engines.items():
        file = f"{name.removesuffix('.plan')}.json"
        if file not in bundle.manifest.files:
            yield f"{file}: missing"
            continue
        built = _written(bundle, file, _Built)
        if isinstance(built, str):
            yield built
        elif built.entry not in (UNSET, entry):
            yield f"engines.{name}: it is not that of {file}"


def _written(bundle: Bundle, file: str, kind: type[D]) -> D | str:
    """What a report in the bundle says, or why it cannot be read."""
    try:
        return read_json(bundle.path / file, kind, JSON_LIMIT)
    except (OSError, ValueError) as error:
        return f"{file}: cannot be read: {error}"


def _odd(names: Set[str]) -> str:
    return ", ".join(sorted(names)[:4])


def _agree(expected: Array, found: Array) -> bool:
    allowed = _TOLERANCE * max(1.0, float(np.abs(expected).max()))
    return bool(
        (np.abs(expected.astype(np.float64) - found.astype(np.float64)) <= allowed).all()
    )  # a question that NaN fails
