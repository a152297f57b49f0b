"""A bundle's golden clip against its manifest: tensors, preprocessing, and scores from logits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from x3ddeploy.bundle.golden import read_array
from x3ddeploy.bundle.opened import Bundle
from x3ddeploy.bundle.paths import GOLDEN
from x3ddeploy.contract import Contract, OutputKind, Shape
from x3ddeploy.errors import BundleError, X3DDeployError
from x3ddeploy.modalities import modalities_of
from x3ddeploy.probabilities import probabilities

_OLDER = "made by an older version; export again to have it checked"
_KEYPOINTS, _MOST_PERSONS = "keypoints", 64
# Of the largest value: what the same formulas may differ by on another machine, which is float32 rounding.
_TOLERANCE = 1e-4
Array = npt.NDArray[np.generic]


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


def golden_problems(bundle: Bundle) -> Iterator[str]:
    """In what the golden clip, its outputs among it, is not what the manifest says."""
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


def _agree(expected: Array, found: Array) -> bool:
    allowed = _TOLERANCE * max(1.0, float(np.abs(expected).max()))
    return bool(
        (np.abs(expected.astype(np.float64) - found.astype(np.float64)) <= allowed).all()
    )  # a question that NaN fails
