"""Where in a checkpoint's nested content the weights are, and which of their copies is taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from x3ddeploy.errors import CheckpointError
from x3ddeploy.text import shortened

_WEIGHT_KEYS = ("state_dict", "model")
_EMA_KEY = "ema_state_dict"
_LISTED = 8
_DDP_PREFIX = "module."
# MMCV's EMAHook keeps the copy of 'a.b.weight' in a buffer of the model, named so, with dots made underscores.
_EMA_BUFFER_PREFIX = "ema_"
_OTHER_COPY = "the copy that was not validated; EMA hooks swap on save, so the main weights are the averaged ones"


class FoundWeights(NamedTuple):
    """Named values (not yet checked to be tensors), without wrappers' prefixes, and what was done to get them."""

    weights: dict[str, object]
    notes: tuple[str, ...]


def find_weights(content: object, name: str, *, ema: bool) -> FoundWeights:
    """The weights in an unpickled checkpoint.

    Args:
        content: what the file unpickled to.
        name: what errors call the file.
        ema: take the EMA hook's other copy.

    Raises:
        CheckpointError: there are no recognizable weights, or no other copy.
    """
    if not isinstance(content, Mapping):
        what = "a whole pickled module" if isinstance(content, nn.Module) else f"one {type(content).__name__}"
        raise CheckpointError(
            f"{name} holds {what}, not named weights", hint="save {'state_dict': model.state_dict()} instead"
        )
    notes: list[str] = []
    if ema and isinstance(content.get(_EMA_KEY), Mapping):
        notes.append(f"took {_EMA_KEY}: {_OTHER_COPY}")
        weights = _unwrapped(content[_EMA_KEY], name, [])  # the averaged model always wears the prefix: not news
        weights.pop("steps", None)  # the averaged model's own counter
        return FoundWeights(weights, tuple(notes))
    key = next((key for key in _WEIGHT_KEYS if isinstance(content.get(key), Mapping)), None)
    raw = content if key is None else content[key]
    if not any(isinstance(value, Tensor) for value in raw.values()):
        raise CheckpointError(
            f"{name} has no recognizable weights",
            details=[f"found {', '.join(shortened([str(key) for key in raw], _LISTED)) or 'nothing'}"],
            hint="weights are looked for at the top and under 'state_dict' and 'model'"
            + ("; this file has only an EMA copy: pass --ema" if _EMA_KEY in content else ""),
        )
    if key is not None:
        ignored = sorted(str(other) for other in content if other not in (key, "meta", _EMA_KEY))
        if ignored:
            notes.append(f"ignored {', '.join(shortened(ignored, _LISTED))} (not needed for inference)")
    weights = _unwrapped(raw, name, notes)
    copies = {other: weights.pop(_buffer_name(other)) for other in list(weights) if _buffer_name(other) in weights}
    if ema:
        if not copies:
            raise CheckpointError(f"{name} carries no second, EMA copy of the weights", hint="leave out --ema")
        notes.append(f"took {len(copies)} weights from their ema_* copies: {_OTHER_COPY}; the others have no copy")
        weights.update(copies)
    elif copies or _EMA_KEY in content:
        notes.append(f"the file also carries a second copy of the weights (EMA), ignored: {_OTHER_COPY}")
    return FoundWeights(weights, tuple(notes))


def _buffer_name(key: str) -> str:
    return _EMA_BUFFER_PREFIX + key.replace(".", "_")


def _unwrapped(raw: Mapping[object, object], name: str, notes: list[str]) -> dict[str, object]:
    odd = [key for key in raw if not isinstance(key, str)]
    if odd:
        raise CheckpointError(
            f"{name}: {len(odd)} weights have names that are not text, such as {odd[0]!r:.60}",
            hint="save {'state_dict': model.state_dict()}",
        )
    prefixed = sum(str(key).startswith(_DDP_PREFIX) for key in raw)
    if prefixed:
        notes.append(f"removed the prefix {_DDP_PREFIX!r} (DDP) from {prefixed} names")
    weights = {str(key).removeprefix(_DDP_PREFIX): value for key, value in raw.items()}
    if len(weights) != len(raw):
        raise CheckpointError(
            f"{name}: {len(raw) - len(weights)} weights are there both with and without the prefix {_DDP_PREFIX!r}",
            hint="re-save the checkpoint with one of them",
        )
    return weights
