"""Where a synthetic data set may go, and what all of them record."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from x3ddeploy import __version__
from x3ddeploy.data.synth.document import AnyRecord
from x3ddeploy.errors import UsageError, X3DDeployError
from x3ddeploy.files import read_json
from x3ddeploy.modalities.opencv import require_opencv

RECORD = "dataset.json"


def library_versions(*distributions: str) -> dict[str, str]:
    """Version of each library that the bytes depend on."""
    # OpenCV's from the module: the distribution goes by one of several names (opencv-python, -headless, -contrib).
    opencv: str = require_opencv("drawing").__version__
    return {"x3ddeploy": __version__, **{name: version(name) for name in distributions}, "opencv": opencv}


def require_replaceable(directory: Path, overwrite: bool) -> None:
    """Refuse to put a data set where something else is.

    Raises:
        UsageError: the directory holds something else, or a data set that `overwrite` does not allow to replace.
    """
    if not directory.exists() and not directory.is_symlink():
        return
    if not directory.is_dir():
        raise UsageError(f"{directory} is not a directory", hint="name a new directory")
    try:
        empty = next(directory.iterdir(), None) is None
    except OSError as error:
        raise X3DDeployError(f"cannot read {directory}: {error.strerror}", hint="name a new directory") from error
    if empty:
        return
    if not _is_ours(directory):
        raise UsageError(
            f"{directory} is not empty and holds no synthetic data set", hint="name a new or an empty directory"
        )
    if not overwrite:
        raise UsageError(f"{directory} already holds a synthetic data set", hint="--overwrite replaces it")


def _is_ours(directory: Path) -> bool:
    try:
        read_json(directory / RECORD, AnyRecord)
    except (OSError, ValueError):
        return False
    return True
