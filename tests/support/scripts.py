"""A file that no package holds, as a module."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from support.present import present


def module_of(path: Path, name: str = "") -> ModuleType:
    """Run a file under its own name, or another's; where dataclasses look it up, it is that module."""
    spec = present(importlib.util.spec_from_file_location(name or path.stem, path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    present(spec.loader).exec_module(module)
    return module
