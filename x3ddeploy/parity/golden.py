"""The golden clip of a bundle: one input and what PyTorch gave for it. Reading it takes no PyTorch."""

from __future__ import annotations

import numpy as np

from x3ddeploy.bundle import GOLDEN, Bundle
from x3ddeploy.errors import BundleError
from x3ddeploy.runtimes.base import Array


def load_golden(bundle: Bundle) -> dict[str, Array]:
    """The golden tensors by name. Raises BundleError where one cannot be read."""
    arrays = {}
    for file in sorted((bundle.path / GOLDEN).glob("*.npy")):
        try:
            arrays[file.stem] = np.load(file, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise BundleError(f"cannot read {file}: {error}", hint="export again") from error
    return arrays
