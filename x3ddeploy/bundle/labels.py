"""Class names: one a line, in the order of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from x3ddeploy.errors import BundleError
from x3ddeploy.files import read_text
from x3ddeploy.text import escaped


def read_labels(file: Path) -> list[str]:
    """The names in a bundle's `labels.txt`; only a line feed ends a line.

    Raises:
        BundleError: it cannot be read, or a line is no name; every such line is listed.
    """
    try:
        text = read_text(file)
    except OSError as error:
        raise BundleError(f"cannot read {file}: {error.strerror}", hint="export again") from error
    except UnicodeDecodeError as error:
        raise BundleError(f"{file} is not UTF-8: {error}", hint="export again") from error
    names = text.removesuffix("\n").split("\n")
    problems = label_problems(names)
    if problems:
        raise BundleError(f"{file} holds what is no class name", details=problems[:12], hint="export again")
    return names


def label_problems(names: Sequence[str]) -> list[str]:
    """What keeps names from being one a line and fit for a terminal; empty where all are well."""
    return [
        f"class {index}: " + (f"'{escaped(name)}' has characters that are not to be printed" if name else "no name")
        for index, name in enumerate(names)
        if escaped(name) != name or not name.strip()
    ]
