"""What scripts here write: how a result begins, and a table on a page of docs."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from x3ddeploy.atomic import write_bytes
from x3ddeploy.machine import machine

_ROOT = Path(__file__).parents[1]


def measured_by(script: str, *packages: str) -> dict[str, Any]:
    """How a result begins: which script made it, on which machine, with which versions of these packages."""
    return {
        "script": Path(script).resolve().relative_to(_ROOT).as_posix(),
        "machine": machine(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def write_table(page: str, script: str, lines: Iterable[str]) -> None:
    """Put lines between the marks of a script on a page of docs: '<!-- NAME.py writes this table -->'."""
    path = _ROOT / "docs" / page
    marks = rf"(?<=<!-- {re.escape(Path(script).name)} writes this table -->\n).*?(?=<!-- and no more -->)"
    table = "\n" + "\n".join(lines) + "\n\n"
    write_bytes(path, re.sub(marks, lambda _: table, path.read_text(encoding="utf-8"), flags=re.DOTALL).encode())
