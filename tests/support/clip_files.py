"""Clips as `.npz` files."""

from pathlib import Path
from typing import Any

import numpy as np


def write_clip(path: Path, **arrays: Any) -> None:
    np.savez(path, **arrays)
