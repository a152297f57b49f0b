"""MMAction2 1.2.0 as it is on PyPI, made importable. The one place that knows what its wheel gets wrong.

- It imports `mmaction.models.localizers.drn`, a package that it does not hold
  (https://github.com/open-mmlab/mmaction2/issues/2714). Nothing here needs that localizer: an empty stand-in takes its
  place.
- It needs importlib_metadata without requiring it; the `mmaction` extra does.
- Its pose transforms say `np.Inf`, which NumPy 2 removed
  (https://numpy.org/doc/stable/numpy_2_0_migration_guide.html): the name is put back.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from x3ddeploy.errors import MissingRequirementError

_MISSING = "mmaction.models.localizers.drn"


def import_registry() -> Any:
    """MMAction2's registry of networks (`mmaction.registry.MODELS`), filled.

    Raises:
        MissingRequirementError: MMAction2, or something that it needs, cannot be imported; the message says which.
    """
    _import("models")
    logging.getLogger("mmengine").setLevel(logging.ERROR)
    return importlib.import_module("mmaction.registry").MODELS


def mmaction_scope() -> contextlib.AbstractContextManager[None]:
    """Let names in configs mean MMAction2's classes, and not those of the scope that a training here left."""
    from mmengine.registry import DefaultScope

    return DefaultScope.overwrite_default_scope("mmaction")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let MMEngine's logger say errors alone: it writes to stdout, where a command's results are."""
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def import_everything() -> None:
    """Import all of MMAction2 that training uses, so that its registries are filled.

    Raises:
        MissingRequirementError: MMAction2, or something that it needs, cannot be imported; the message says which.
    """
    _import("models", "datasets", "engine", "evaluation", "visualization")


def _import(*parts: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mmcv-lite warns of each operator that it leaves out
        try:
            package = importlib.import_module("mmaction")
            if lacks_localizer(package):
                for name in (_MISSING, f"{_MISSING}.drn"):
                    stand_in = types.ModuleType(name)
                    stand_in.DRN = type("DRN", (), {})  # type: ignore[attr-defined]
                    sys.modules.setdefault(name, stand_in)
            if not hasattr(np, "Inf"):
                np.Inf = np.inf  # type: ignore[attr-defined]
            for part in parts:
                importlib.import_module(f"mmaction.{part}")
        except ImportError as error:
            raise MissingRequirementError(
                f"MMAction2 cannot be imported: {error}", hint="pip install 'x3ddeploy[mmaction]'"
            ) from error


def lacks_localizer(package: types.ModuleType) -> bool:
    """Whether this installation of `mmaction` is one with the missing package."""
    assert package.__file__ is not None
    return not (Path(package.__file__).parent / "models" / "localizers" / "drn").is_dir()


def config_path(name: str) -> Path:
    """A config file that ships inside MMAction2's wheel, e.g. 'skeleton/posec3d/rgbpose_conv3d/rgbpose_conv3d.py'."""
    spec = importlib.util.find_spec("mmaction")
    if spec is None or spec.origin is None:
        raise MissingRequirementError("MMAction2 is not installed", hint="pip install 'x3ddeploy[mmaction]'")
    path = Path(spec.origin).parent / ".mim" / "configs" / name
    if not path.is_file():
        raise MissingRequirementError(f"this MMAction2 has no config {name}", hint="pip install 'mmaction2==1.2.0'")
    return path
