"""Configs of MMEngine's kind, read as literals: a text, or a file with the files that its `_base_` names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from x3ddeploy.checkpoint.literals import Unreadable, read_literals
from x3ddeploy.errors import CheckpointError
from x3ddeploy.files import read_text

__all__ = ["CHECKPOINT_CONFIG", "Unreadable", "is_absent", "lookup", "read_config_file", "read_config_text"]

# What errors and origins call the config that a checkpoint carries.
CHECKPOINT_CONFIG = "checkpoint config"

_ABSENT = object()
_BASE = "_base_"
_DELETE = "_delete_"
_MAX_BASE_DEPTH = 16
_MAX_BASE_FILES = 64
_MAX_MERGES = 100_000
_MAX_MERGE_DEPTH = 64
_DUMPED = "give the merged config that training dumped into its work directory"


def read_config_text(text: str, origin: str) -> dict[str, Any]:
    """Values of a config text that stands alone, such as a checkpoint's `meta['cfg']`; never executed.

    Args:
        text: Python source.
        origin: what errors call it.

    Returns:
        Top-level names with literal values; `Unreadable` where a value is not literal.

    Raises:
        CheckpointError: a syntax error, hostile sizes, or a `_base_`, which a text without a place cannot have.
    """
    config = read_literals(text, origin)
    if _BASE in config:
        raise CheckpointError(f"{origin} names a `_base_`, but is not a file beside one", hint=_DUMPED)
    return config


def read_config_file(path: Path) -> dict[str, Any]:
    """Values of a config file, merged over its `_base_` files as MMEngine does (`_delete_` replaces); never executed.

    Raises:
        CheckpointError: a file is missing, unreadable or no Python; bases form a cycle, define a name twice, or are not
            relative paths; a dict would be merged into something else.
    """
    return _FileReader().read(path, chain=())


def lookup(config: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, the `Unreadable` met on the way, or a marker (`is_absent`) where there is none."""
    value: Any = config
    for name in path.split("."):
        if isinstance(value, Unreadable):
            return value
        if not isinstance(value, Mapping) or name not in value:
            return _ABSENT
        value = value[name]
    return value


def is_absent(value: object) -> bool:
    """Whether `lookup` found nothing."""
    return value is _ABSENT


class _FileReader:
    """Reads one file and all of its bases, within limits on both that no real config comes near."""

    def __init__(self) -> None:
        self.files_left = _MAX_BASE_FILES
        self.merges_left = _MAX_MERGES

    def read(self, path: Path, chain: tuple[Path, ...]) -> dict[str, Any]:
        named_by = f", a `_base_` of {chain[-1]}" if chain else ""
        try:
            resolved = path.resolve()
            text = read_text(path)
        except UnicodeDecodeError as error:
            raise CheckpointError(f"config {path}{named_by} is not UTF-8 text", hint="give a Python config") from error
        except (OSError, ValueError, RuntimeError) as error:  # a null character, or a loop of links, in the path
            reason = getattr(error, "strerror", None) or error
            raise CheckpointError(f"config {path}{named_by} cannot be read: {reason}", hint="check the path") from error
        if resolved in chain:
            raise CheckpointError(f"config {path} is its own `_base_`", details=[str(link) for link in chain])
        self.files_left -= 1
        if len(chain) >= _MAX_BASE_DEPTH or self.files_left < 0:
            raise CheckpointError(f"config {chain[0]} has too many `_base_` files", hint=_DUMPED)
        own = read_literals(text, f"config {path}")
        base: dict[str, Any] = {}
        for name in _base_names(own.pop(_BASE, []), path):
            inherited = self.read(path.parent / name, (*chain, resolved))
            if twice := sorted(base.keys() & inherited.keys()):
                raise CheckpointError(f"config {path}: its bases define {', '.join(twice[:8])} more than once")
            base.update(inherited)
        return self.merge(own, base, (str(path),))

    def merge(self, own: dict[Any, Any], base: dict[Any, Any], where: tuple[str, ...]) -> dict[Any, Any]:
        """`own` over `base`: dicts merge, everything else replaces (MMEngine's Config._merge_a_into_b)."""
        self.merges_left -= 1
        if self.merges_left < 0 or len(where) > _MAX_MERGE_DEPTH:
            raise CheckpointError(f"config {where[0]} merges more or deeper dicts than any config", hint=_DUMPED)
        merged = dict(base)
        for key, value in own.items():
            under = base.get(key)
            if not isinstance(value, dict):
                merged[key] = value
                continue
            value = {name: item for name, item in value.items() if name != _DELETE} if _DELETE in value else value
            if key not in base or own[key].get(_DELETE):
                merged[key] = value
            elif isinstance(under, dict):
                merged[key] = self.merge(value, under, (*where, str(key)))
            elif isinstance(under, Unreadable):
                merged[key] = under
            else:
                raise CheckpointError(
                    f"config {': '.join((*where, str(key)))} is a dict, but not in its base",
                    hint="add `_delete_=True` to replace the base's",
                )
        return merged


def _base_names(value: object, path: Path) -> list[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise CheckpointError(
            f"config {path}: `_base_` must be a file name or a list of them, written out", hint=_DUMPED
        )
    for name in names:
        if "::" in name or "://" in name or Path(name).is_absolute():
            raise CheckpointError(f"config {path}: `_base_` {name!r} is not a relative path", hint=_DUMPED)
    return list(names)
