"""A checkpoint or an exported graph to a network: read, recognize its family, fill in the weights."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from x3ddeploy.bundle import Source
from x3ddeploy.bundle.labels import label_problems
from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.checkpoint.config import CHECKPOINT_CONFIG, lookup, read_config_file, read_config_text
from x3ddeploy.checkpoint.reader import Checkpoint, read_checkpoint
from x3ddeploy.contract import LARGEST_CLIP
from x3ddeploy.errors import BundleError, CheckpointError, UsageError
from x3ddeploy.families import JOINED, family_named, family_of, known_families
from x3ddeploy.families.base import Family, Joining, Trained, Wishes
from x3ddeploy.families.network import Network
from x3ddeploy.families.unsupported import why_not
from x3ddeploy.files import read_text
from x3ddeploy.memory import collected_later
from x3ddeploy.terms import Precision
from x3ddeploy.text import shortened

_LISTED = 8


@dataclass(frozen=True)
class Loaded:
    """A network with its weights, in evaluation mode, and what is known of it.

    Attributes:
        origins: dotted name of each value of the network's model -> where it came from.
        labels: class names, where the checkpoint carries as many as it has classes.
        notes: what the reader did or met.
    """

    network: Network
    source: Source
    origins: Mapping[str, str]
    labels: tuple[str, ...] | None
    notes: tuple[str, ...]


def load_network(path: Path, wishes: Wishes | None = None, *, ema: bool = False, trust: bool = False) -> Loaded:
    """Read a checkpoint and build the network that its weights are of.

    Args:
        path: the `.pth` file.
        wishes: what the user sets himself; None for nothing.
        ema: take the checkpoint's other copy of the weights.
        trust: execute what the file asks for beyond weights.

    Raises:
        CheckpointError: the file cannot be read, trusted or understood; the message says what to do.
    """
    wishes = wishes or Wishes()
    checkpoint, family, weights, notes = recognize(path, wishes, trust=trust, ema=ema)
    trained = family.load(weights, _own_config(checkpoint), wishes)
    notes += trained.notes
    contract = trained.network.contract()
    for name, value in contract.inputs.items():
        if math.prod(value.clip_shape) > LARGEST_CLIP:
            sizes = " x ".join(map(str, value.clip_shape))
            raise UsageError(f"{name} of {sizes}: larger than any clip", hint="give fewer frames, or a smaller size")
    labels, classes = checkpoint.class_names, contract.classes
    if labels is not None and len(labels) != classes:
        notes += (f"ignored {len(labels)} class names: the head has {classes} classes",)
        labels = None
    return Loaded(
        network=trained.network,
        source=Source(path.name, checkpoint.sha256, checkpoint.epoch),
        origins=trained.origins,
        labels=labels,
        notes=notes,
    )


@collected_later()
def load_streams(
    paths: Sequence[Path], wishes: Wishes | None = None, *, ema: bool = False, trust: bool = False
) -> Loaded:
    """Read several checkpoints as the streams of one network; one checkpoint as `load_network` does.

    Args:
        paths: the `.pth` files, in the order of the weights in `wishes.fusion`.
        wishes: what the user sets himself; but for the weights it counts for each checkpoint.
        ema: see `load_network`.
        trust: see `load_network`.

    Raises:
        CheckpointError: a file cannot be read, trusted or understood.
        UsageError: these networks are no streams of one network.
    """
    wishes = wishes or Wishes()
    if len(paths) == 1:
        return load_network(paths[0], wishes, ema=ema, trust=trust)
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice} is given twice", hint="each stream has a checkpoint of its own")
    members = [load_network(path, replace(wishes, fusion=None), ema=ema, trust=trust) for path in paths]
    families = {member.network.family for member in members}
    if len(families) > 1 or not families <= JOINED.keys():
        raise UsageError(
            f"{len(paths)} checkpoints of {' and '.join(sorted(families))} make no one network",
            hint=f"streams of one skeleton can be fused: networks of {', '.join(JOINED)}",
        )
    names = [path.name if len({p.name for p in paths}) == len(paths) else str(path) for path in paths]
    joining = cast(Joining, family_named(JOINED[families.pop()]))
    trained = joining.join(
        {
            name: Trained(member.network, member.origins, member.notes)
            for name, member in zip(names, members, strict=True)
        },
        wishes.fusion,
    )
    sums = "".join(f"{member.source.sha256}  {name}\n" for name, member in zip(names, members, strict=True))
    known = {member.labels for member in members if member.labels is not None}
    notes = trained.notes + tuple(f"made of {line}" for line in sums.splitlines())
    if len(known) > 1:
        notes += ("ignored the class names: those of the checkpoints differ",)
    return Loaded(
        network=trained.network,
        source=Source(" + ".join(names), hashlib.sha256(sums.encode()).hexdigest()),
        origins=trained.origins,
        labels=known.pop() if len(known) == 1 else None,
        notes=notes,
    )


class Recognized(NamedTuple):
    """A checkpoint, the family that its weights are of, the weights, and what is worth telling of all that."""

    checkpoint: Checkpoint
    family: Family
    weights: dict[str, Tensor]
    notes: tuple[str, ...]


def recognize(path: Path, wishes: Wishes | None = None, *, ema: bool = False, trust: bool = False) -> Recognized:
    """Read a checkpoint as far as its weights; see `load_network`."""
    checkpoint = read_checkpoint(path, trust=trust, ema=ema)
    family = _family_of(checkpoint, (wishes or Wishes()).config)
    weights, notes = checkpoint.weights(family.prefixes)
    return Recognized(checkpoint, family, weights, (*checkpoint.notes, *notes))


def restore_network(model: onnx.ModelProto) -> Network:
    """The training-form network with the weights of an exported part; of the whole, with all of them.

    Modules whose weights the part does not hold have weights of no meaning.

    Raises:
        BundleError: the file is not ours, not float32, or its weights do not fit its own specification.
    """
    metadata = PartMetadata.of(model)
    if metadata.precision != Precision.FP32:
        raise BundleError(
            f"the torch runtime rebuilds float32 graphs only, and this one is {metadata.precision}",
            hint="give the float32 file of the same bundle",
        )
    weights = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in model.graph.initializer
    }
    try:
        return family_named(metadata.family).restore(metadata.model, metadata.fusion, weights)
    except ValueError as error:
        raise BundleError(
            f"the graph's metadata describes no network: {error}", hint="export the checkpoint again"
        ) from error


def _own_config(checkpoint: Checkpoint) -> dict[str, Any] | None:
    text = checkpoint.config_text
    return read_config_text(text, CHECKPOINT_CONFIG) if text else None


def _family_of(checkpoint: Checkpoint, named: str | None) -> Family:
    """Whose network it is: by its own config, else by the file that the user names; a preset's name says nothing."""
    config = _own_config(checkpoint)
    if (config is None or "model" not in config) and named is not None and Path(named).is_file():
        config = read_config_file(Path(named))
    family = family_of(checkpoint.values, config)
    if family is not None:
        return family
    classes = _classes(config)
    why = why_not(classes)
    if why is not None:
        raise CheckpointError(
            f"{checkpoint.path} is {why}",
            details=[f"its config builds {', '.join(shortened(classes, _LISTED))}"],
            hint="docs/families.md lists the networks that are exported, and those that are not",
        )
    found = sorted({f"{key.partition('.')[0]}." for key in checkpoint.values})
    details = [f"it has weights under {', '.join(shortened(found, _LISTED))}"]
    if classes:
        details.append(f"its config builds {', '.join(shortened(classes, _LISTED))}")
    known: dict[tuple[str, ...], list[str]] = {}
    for other in map(family_named, known_families()):
        known.setdefault(other.prefixes, []).append(f"{other.title} ({other.name})")
    details += [f"weights under {', '.join(keys)}: {', '.join(names)}" for keys, names in known.items() if keys]
    raise CheckpointError(
        f"{checkpoint.path} is of no network that is known here",
        details=details,
        hint="give a checkpoint of one of these networks, with all of its weights"
        + ("" if config else "; it carries no config: name that of its training with --config"),
    )


def _classes(config: Mapping[str, Any] | None) -> list[str]:
    """Names of the classes that a config builds, the recognizer's first; of its data, where it has no model."""
    paths = ("type", *(f"{part}.type" for part in ("backbone", "neck", "cls_head")))
    names = [f"model.{path}" for path in paths] if "model" in (config or {}) else ["dataset_type"]
    found = [lookup(config or {}, name) for name in names]
    return [name for name in found if isinstance(name, str)]


def read_labels(path: Path, classes: int) -> tuple[str, ...]:
    """Class names from a text file, one a line.

    Raises:
        UsageError: it cannot be read, or has another number of lines than there are classes.
    """
    try:
        names = tuple(line.strip() for line in read_text(path).split("\n") if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read the labels {path}: {reason}", hint="--labels names a UTF-8 text file") from error
    problems = label_problems(names)
    if problems:
        raise UsageError(f"{path} holds what is no class name", details=problems[:5], hint="write them as text")
    if len(names) != classes:
        raise UsageError(f"{path} has {len(names)} labels, and the head has {classes} classes")
    return names
