"""Unpickling that executes nothing: PyTorch's weights-only unpickler, and inert stand-ins for what a file mentions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import torch

from x3ddeploy.checkpoint.pickle_scan import globals_beyond_weights
from x3ddeploy.errors import CheckpointError
from x3ddeploy.text import printable, shortened


class _Inert:
    """Takes the place of a class or function that a checkpoint names: swallows everything, keeps and does nothing."""

    __slots__ = ()

    def __new__(cls, *_: object, **__: object) -> _Inert:
        return object.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


class _PlainDict:
    """Takes the place of a dict subclass: becomes a plain dict, which the unpickler then fills."""

    def __new__(cls, *arguments: object) -> Any:
        return dict(arguments[0]) if arguments and type(arguments[0]) is dict else {}


# What MMEngine's message_hub, schedulers and meta mention. None of these values is needed, so none is ever made:
# a `getattr` or a `_reconstruct` in the file calls a stand-in.
_INERT_NAMES = (
    "builtins.bool", "builtins.dict", "builtins.float", "builtins.getattr", "builtins.int", "builtins.list",
    "builtins.str", "builtins.tuple", "datetime.datetime", "datetime.timedelta",
    "mmcv.runner.log_buffer.LogBuffer", "mmengine.logging.history_buffer.HistoryBuffer",
    "mmengine.logging.message_hub.MessageHub",
    "numpy._core.multiarray._reconstruct", "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar",
    "numpy.bool", "numpy.bool_", "numpy.dtype", "numpy.float16", "numpy.float32", "numpy.float64",
    "numpy.int32", "numpy.int64", "numpy.ndarray", "numpy.str_", "numpy.uint8",
    "pathlib.Path", "pathlib.PosixPath", "pathlib.PurePosixPath", "pathlib.WindowsPath", "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    *(f"numpy.dtypes.{kind}DType" for kind in (
        "Bool", "Float16", "Float32", "Float64", "Int8", "Int16", "Int32", "Int64", "Str", "UInt8", "UInt16", "UInt32",
        "UInt64",
    )),
)  # fmt: skip
_DICT_NAMES = (
    "addict.addict.Dict",
    "collections.defaultdict",
    "mmcv.utils.config.ConfigDict",
    "mmengine.config.config.ConfigDict",
)
_STAND_INS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    *((_Inert, name) for name in _INERT_NAMES),
    *((_PlainDict, name) for name in _DICT_NAMES),
]

# After it, in PyTorch's long advice, stands the reason of a refusal.
_REASON_MARK = "WeightsUnpickler error:"
_LISTED = 100


class Unpickled(NamedTuple):
    """A file's content, and the globals that were really imported and called for it (none unless trusted)."""

    content: object
    executed: tuple[str, ...]


def unpickle(file: BinaryIO, name: str, *, trust: bool) -> Unpickled:
    """Read what torch.save wrote, onto the CPU.

    Args:
        file: opened file; it is read from its start.
        name: what errors call the file.
        trust: where the file asks for more than weights, unpickle it in full, which may execute anything.

    Raises:
        CheckpointError: the file is damaged; it names globals that are not on the list (each of them is listed); it
            was trusted and cannot be unpickled all the same.
    """
    with torch.serialization.safe_globals(_STAND_INS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Detected pickle protocol")  # the error below says it
        try:
            file.seek(0)
            return Unpickled(torch.load(file, map_location="cpu", weights_only=True), ())
        except Exception as error:  # hostile bytes can raise anything in the unpickler
            refusal = error
    mentioned = globals_beyond_weights(file)
    refused = sorted(mentioned.difference(_INERT_NAMES, _DICT_NAMES))
    # Protocols other than torch.save's are outside of what the weights-only unpickler reads, whatever they hold.
    if not refused and "Unsupported operand" not in str(refusal):
        raise CheckpointError(
            f"{name} is cut short or damaged: {_reason(refusal)}", hint="copy or download the checkpoint again"
        ) from refusal
    if not trust:
        raise CheckpointError(
            f"{name} asks for Python code beyond weights, so it was not unpickled"
            if refused
            else f"{name} was pickled with a protocol that cannot be read without executing what it names",
            details=shortened(refused, _LISTED),
            hint="if you trust the file's author, pass --trust-checkpoint, which executes these; or re-save it with "
            "torch.save({'state_dict': ..., 'meta': {'cfg': ...}}, path)",
        ) from refusal
    return Unpickled(_unpickle_in_full(file, name), tuple(sorted(mentioned)) or ("a pickle of an unusual protocol",))


def _unpickle_in_full(file: BinaryIO, name: str) -> object:
    file.seek(0)
    try:
        return torch.load(file, map_location="cpu", weights_only=False)
    except ModuleNotFoundError as error:
        raise CheckpointError(
            f"{name} needs the package {error.name!r} to be unpickled, which is not installed",
            hint=f"install {error.name} (the version trained with), or re-save the checkpoint with weights only",
        ) from error
    except Exception as error:  # the file's own code ran and may raise anything
        raise CheckpointError(
            f"{name} cannot be unpickled, though trusted: {type(error).__name__}: {_reason(error)}",
            hint="unpickle it where it was trained, and re-save it with weights only",
        ) from error


def _reason(error: BaseException) -> str:
    """The one line of an unpickling error that says why; PyTorch wraps it in advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    marked = [line for line in lines if _REASON_MARK in line]
    reason = (marked or lines or [""])[0].rpartition(_REASON_MARK)[2].strip()
    return printable(reason, 200) or type(error).__name__
