"""Reading a checkpoint safely into float32 weights, its config text and what is worth telling about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from torch import Tensor

from x3ddeploy.checkpoint.containers import find_weights
from x3ddeploy.checkpoint.sniff import describe, describe_zip, is_torch_file
from x3ddeploy.checkpoint.tensors import to_float32
from x3ddeploy.checkpoint.unpickling import unpickle
from x3ddeploy.errors import CheckpointError
from x3ddeploy.files import regular_size, sha256_of
from x3ddeploy.text import shortened

_LISTED = 8
# The networks are tens of megabytes; with all that a training keeps beside them, far under this.
_LARGEST_FILE = 16 << 30


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        sha256: SHA-256 of the file's bytes, in hexadecimal.
        values: what stands under the names of weights, not yet checked; without wrappers' prefixes.
        config_text: the training config as Python text (never executed), where the file carries it.
        class_names: the data set's classes in label order, where the file carries them.
        epoch: epochs trained, where the file says so.
        notes: what the reader did, or met, that the user should know.
    """

    path: Path
    sha256: str
    values: dict[str, object]
    config_text: str | None
    class_names: tuple[str, ...] | None
    epoch: int | None
    notes: tuple[str, ...]

    def weights(self, prefixes: tuple[str, ...]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
        """The weights whose names begin with one of these, and what is worth telling about them.

        Returns:
            float32 tensors on the CPU without `num_batches_tracked`, and notes.

        Raises:
            CheckpointError: they are not finite real numbers.
        """
        ours = {
            key: value
            for key, value in self.values.items()
            if key.startswith(prefixes) and not key.endswith(".num_batches_tracked")
        }
        weights, notes = to_float32(ours, str(self.path))
        others = [key for key in self.values if not key.startswith(prefixes)]
        if others:
            named = ", ".join(shortened(others, _LISTED))
            notes = (f"ignored {len(others)} weights outside of {', '.join(prefixes)}: {named}", *notes)
        return weights, notes


def read_checkpoint(path: Path, *, trust: bool = False, ema: bool = False) -> Checkpoint:
    """Read a checkpoint; nothing in it is executed unless it is trusted.

    Takes MMEngine's files, bare state_dicts, and state_dicts under 'state_dict' or 'model'; with or without DDP's
    'module.' prefix; in half, single or double precision.

    Args:
        path: the `.pth` file.
        trust: unpickle in full a file that asks for more than weights. It may then execute anything.
        ema: take the weights' other copy (`ema_state_dict`, or `ema_*` keys). Both MMEngine's and MMCV's EMA hooks swap
            the copies when they save, so `state_dict` holds the averaged weights and the other copy the raw ones.

    Raises:
        CheckpointError: the file is missing, damaged, not a checkpoint, refused as unsafe, or holds no weights.
    """
    with _opened(path) as file:
        sha256 = sha256_of(file)
        _require_torch_file(file, path)
        # Read, not mapped: tens of megabytes, and a mapped file that a training run overwrites ends the process.
        content, executed = unpickle(file, str(path), trust=trust)
    found = find_weights(content, str(path), ema=ema)
    notes = [f"executed, as trusted, what the file names: {', '.join(executed)}"] if executed else []
    meta = content.get("meta") if isinstance(content, Mapping) else None
    meta = meta if isinstance(meta, Mapping) else {}
    config_text, epoch = meta.get("cfg"), meta.get("epoch")
    return Checkpoint(
        path=path,
        sha256=sha256,
        values=found.weights,
        config_text=config_text if isinstance(config_text, str) else None,
        class_names=_class_names(meta),
        epoch=epoch if type(epoch) is int else None,
        notes=(*notes, *found.notes),
    )


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if path.is_dir():
        raise CheckpointError(f"{path} is a directory", hint="name the .pth file inside it")
    try:
        regular_size(path, _LARGEST_FILE)
        file = path.open("rb")
    except FileNotFoundError as error:
        raise CheckpointError(f"checkpoint {path} does not exist", hint="check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"checkpoint {path} cannot be opened: {reason}", hint="check the path and its permissions"
        ) from error
    with file:
        yield file


def _require_torch_file(file: BinaryIO, path: Path) -> None:
    file.seek(0)
    if not file.read(1):
        raise CheckpointError(f"{path} is empty", hint="copy or download the checkpoint again")
    if not is_torch_file(file):
        raise CheckpointError(
            f"{path} is not a PyTorch checkpoint; it looks like {describe(file)}",
            hint="give the .pth file that training wrote",
        )
    if problem := describe_zip(file):
        raise CheckpointError(f"{path} is {problem}", hint="give the .pth file that training wrote, copied whole")


def _class_names(meta: Mapping[object, object]) -> tuple[str, ...] | None:
    dataset_meta = meta.get("dataset_meta")
    classes = dataset_meta.get("classes") if isinstance(dataset_meta, Mapping) else None
    if isinstance(classes, (list, tuple)) and classes and all(isinstance(name, str) for name in classes):
        return tuple(classes)
    return None
