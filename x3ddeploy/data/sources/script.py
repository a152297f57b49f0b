"""Clips from a Python script with `load_data()`, as Polygraphy's `--data-loader-script` takes them."""

from __future__ import annotations

import runpy
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from x3ddeploy.child_process import run_in_child
from x3ddeploy.contract import Input
from x3ddeploy.data.arrays import CLIP_LIMIT, read_arrays
from x3ddeploy.data.sources.base import LabelledClip, checked_inputs, digest, people_fed
from x3ddeploy.errors import DataError
from x3ddeploy.files import sha256_of

# More than any calibration takes; a generator that never ends is refused before the disk is full.
_MOST_CLIPS = 100_000


class ScriptClips:
    """Every clip of every feed dict that the script's `load_data()` yields; their classes are not known.

    The script is the user's own code and runs with all of the user's rights, once, when the source is opened, in a
    process of its own: if it leaves that early, by whatever way, it has not answered. What it prints goes into that
    process's log. A generator can be read only once and in order, so its clips are kept in temporary files, which go
    with the source.

    Args:
        path: the script. `load_data()` yields dicts of the network's inputs by name, clips first.
        inputs: they say the shapes.

    Raises:
        DataError: the script fails, has no `load_data`, or a feed is not what the network takes.
    """

    split = None

    def __init__(self, path: Path, inputs: Mapping[str, Input]) -> None:
        self.name = str(path)
        self._stem, self._wanted = path.stem, inputs
        self._spool = tempfile.TemporaryDirectory(prefix="x3ddeploy-clips-")
        request = {"script": self.name, "spool": self._spool.name, "inputs": msgspec.to_builtins(inputs)}
        self._count: int = run_in_child(f"{__name__}:keep_clips", request, f"the script {path}", lambda text: None)
        self._description = {
            "kind": "script",
            "script_sha256": sha256_of(path),
            "clips_sha256": digest(sha256_of(self._file(index)) for index in range(self._count)),
        }

    @property
    def description(self) -> Mapping[str, Any]:
        return self._description

    def __len__(self) -> int:
        return self._count

    def names(self) -> Sequence[str]:
        return [f"{self._stem}[{index}]" for index in range(self._count)]

    def labels(self) -> Sequence[int | None]:
        return [None] * self._count

    def load(self, index: int) -> LabelledClip:
        inputs = read_arrays(self._file(range(self._count)[index]), CLIP_LIMIT)
        return LabelledClip(f"{self._stem}[{index}]", None, inputs, people_fed(inputs, self._wanted))

    def _file(self, index: int) -> Path:
        return _file(self._spool.name, index)


def keep_clips(request: Mapping[str, Any], progress: Callable[[str], None]) -> int:
    """In the child: run a script and keep its clips.

    Args:
        request: the 'script', the 'spool' folder, and the network's 'inputs' as built-in types.
        progress: not called.

    Returns:
        How many clips there are, each in a file of the spool.

    Raises:
        DataError: as `ScriptClips`.
    """
    path, inputs = Path(request["script"]), msgspec.convert(request["inputs"], dict[str, Input])
    count = 0
    for number, feed in enumerate(_feeds(path)):
        for clip in _clips_of(feed, inputs, f"{path}: feed {number}"):
            if count == _MOST_CLIPS:
                raise DataError(f"{path}: load_data() yields more than {_MOST_CLIPS} clips", hint="let it end")
            _keep(clip, path, _file(request["spool"], count))
            count += 1
    if not count:
        raise DataError(f"{path}: load_data() yields nothing")
    return count


def _file(spool: str, index: int) -> Path:
    return Path(spool) / f"{index}.npz"


def _keep(clip: dict[str, npt.NDArray[np.float32]], script: Path, file: Path) -> None:
    try:
        np.savez(file, **clip)  # type: ignore[arg-type]
    except OSError as error:
        raise DataError(
            f"cannot keep the clips of {script} in {file.parent}: {error.strerror or error}",
            hint="set TMPDIR to a folder with more room",
        ) from error


def _feeds(path: Path) -> Any:
    """What `load_data()` yields, where errors of the script are raised as such."""
    try:
        namespace = runpy.run_path(str(path))
        if not callable(namespace.get("load_data")):
            raise DataError(f"{path} defines no function load_data()")
        yield from namespace["load_data"]()
    except (DataError, GeneratorExit):
        raise
    except BaseException as error:  # the user's code may raise anything, and `sys.exit(0)` is no good end
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f"{path}, line {lines[-1]}" if lines else str(path)
        raise DataError(f"{where} fails: {type(error).__name__}: {error}") from error


def _clips_of(feed: object, wanted: Mapping[str, Input], where: str) -> list[dict[str, npt.NDArray[np.float32]]]:
    if not isinstance(feed, Mapping):
        raise DataError(f"{where} is no dict but {type(feed).__name__}", hint=f"yield {' and '.join(wanted)}")
    inputs = checked_inputs({name: np.asarray(value) for name, value in feed.items()}, wanted, where)
    clips = len(next(iter(inputs.values())))
    return [{name: value[clip : clip + 1] for name, value in inputs.items()} for clip in range(clips)]
