"""Reading a manifest, which anybody may have written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from x3ddeploy.bundle.limits import beyond_limits
from x3ddeploy.bundle.manifest import SCHEMA_VERSION, Manifest
from x3ddeploy.bundle.paths import stays_inside
from x3ddeploy.errors import BundleError, X3DDeployError
from x3ddeploy.files import TEXT_LIMIT, Versioned, decode_json, read_file


def read_manifest(file: Path) -> Manifest:
    """Read a manifest; every number, name and path in it is one that there can be.

    Raises:
        BundleError: it is not there, no valid manifest, of a newer schema, or says a thing twice or what cannot
            be; all of that is listed.
    """
    try:
        text = read_file(file, TEXT_LIMIT)
    except FileNotFoundError as error:
        what = "holds no manifest.json: it is not a bundle" if file.parent.is_dir() else "does not exist"
        raise BundleError(f"{file.parent} {what}", hint="make one with `x3ddeploy export CKPT -o DIR`") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BundleError(f"cannot read {file}: {reason}", hint="check the path") from error
    try:
        versioned: Versioned = decode_json(text, Versioned)
        version = versioned.schema_version
        if version not in (1, SCHEMA_VERSION):
            raise BundleError(
                f"{file} has schema version {version}, and this x3ddeploy reads 1 to {SCHEMA_VERSION}",
                hint="use the version of x3ddeploy that made it, or export again",
            )
        manifest: Manifest = decode_json(text, Manifest) if version == SCHEMA_VERSION else _from_schema_1(text)
        json.loads(text, object_pairs_hook=_require_once)
    except BundleError as error:
        if error.details:
            raise _invalid(file, error.details) from error
        raise
    except (ValueError, RecursionError, X3DDeployError) as error:
        raise BundleError(f"{file} is not a valid manifest: {error}", hint="export again") from error
    outside = [name for name in manifest.files if not stays_inside(name)]
    if outside:
        raise BundleError(f"{file} names files outside the bundle", details=outside, hint="do not use this bundle")
    problems = beyond_limits(manifest)
    if problems:
        raise _invalid(file, problems)
    return manifest


def _require_once(members: list[tuple[str, Any]]) -> None:
    """Raise ValueError for a key that stands twice in an object: readers take one or the other."""
    seen = set()
    for name, _ in members:
        if name in seen:
            raise ValueError(f"the key {name!r} stands twice in an object")
        seen.add(name)


def _from_schema_1(text: bytes) -> Manifest:
    from x3ddeploy.families.manifests import upgraded

    document: dict[str, Any] = decode_json(text, dict[str, Any])
    return msgspec.convert(upgraded(document), Manifest)


def _invalid(file: Path, problems: Sequence[str]) -> BundleError:
    return BundleError(f"{file} is not a valid manifest", details=list(problems), hint="do not use this bundle")
