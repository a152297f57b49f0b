"""The golden clip of a bundle: one input, what PyTorch gave for it, and what each lower precision's graphs gave.

Reading it takes no PyTorch.
"""

from __future__ import annotations

from pathlib import PurePosixPath

import numpy as np

from x3ddeploy.bundle import Bundle, golden_folder
from x3ddeploy.bundle.golden import read_array
from x3ddeploy.errors import BundleError
from x3ddeploy.runtimes.base import Array
from x3ddeploy.text import shell_word

# Where the clip is in what `among_others` gives.
AMONG_OTHERS = slice(1, 2)


def among_others(clip: dict[str, Array]) -> dict[str, Array]:
    """A batch of three: a dark clip, the clip, and the clip with its second axis turned around.

    Frames of neighbouring clips are neighbours in memory: what leaks from one to the other changes the middle clip.

    Args:
        clip: tensors of one clip, (1, ...).
    """
    return {name: np.concatenate((np.zeros_like(value), value, value[:, ::-1])) for name, value in clip.items()}


def load_golden(bundle: Bundle, precision: str = "fp32") -> dict[str, Array]:
    """The golden tensors by name: inputs, and outputs of the precision's graphs.

    Of a lower precision, the features are the backbones' outputs and the head's outputs are the recognizer's: the head
    is fed with the features of its own precision.

    Raises:
        BundleError: a file cannot be read, or a golden output of the lower precision is missing.
    """
    arrays = _read(bundle, golden_folder("fp32"))
    if precision == "fp32":
        return arrays
    own = _read(bundle, golden_folder(precision))
    missing = [name for name in arrays if name in bundle.contract.outputs and name not in own]
    if missing:
        raise BundleError(
            f"{bundle.path / golden_folder(precision)} lacks tensors",
            details=missing,
            hint=f"run `x3ddeploy quantize {shell_word(bundle.path)} --{precision}` again",
        )
    return arrays | own


def _read(bundle: Bundle, folder: str) -> dict[str, Array]:
    files = (PurePosixPath(name) for name in bundle.manifest.files)
    tensors = (file for file in files if file.parent == PurePosixPath(folder) and file.suffix == ".npy")
    return {file.stem: read_array(bundle.path / file) for file in tensors}
