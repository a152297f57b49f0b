"""What of a video an input sees: how many of its frames, and which part of them at which size.

The steps of a contract's pipeline have MMAction2's names. Whatever is not understood, a step or a parameter, is
refused: what a network was not trained on looks like an answer all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from x3ddeploy.contract import Input
from x3ddeploy.errors import BundleError

SAMPLE, COMPACT, RESIZE = "UniformSampleFrames", "MMCompact", "Resize"

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class View:
    """Steps that every kind of input has.

    Attributes:
        length: frames a clip.
        compact: whether pictures are cropped about the persons; else they are seen whole.
        height, width: size in pixels that what is seen is scaled to.
    """

    length: int
    compact: bool
    height: int
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    @classmethod
    def of(cls, name: str, value: Input, frames: int, own: Collection[str]) -> View:
        """Read the pipeline of an input.

        Args:
            name: of the input.
            value: of the contract.
            frames: extent of the tensor's axis of the time.
            own: steps of the kind itself, which come after the common ones.

        Raises:
            BundleError: a step or a parameter is not understood, comes twice or in another order, or is missing.
        """
        order = (SAMPLE, COMPACT, RESIZE, *own)
        found = [step.type for step in value.pipeline]
        unknown = [step for step in found if step not in order]
        if unknown:
            raise refused(name, f"the step {unknown[0]} is not understood", f"understood are {', '.join(order)}")
        if found != [step for step in order if step in found]:
            raise refused(name, f"the steps {', '.join(found)} are not in the order {', '.join(order)}")
        sample = parameters(name, value, SAMPLE, {"clip_len": frames})
        resize = parameters(name, value, RESIZE, {"scale": None, "keep_ratio": False})
        if sample is None or resize is None:
            raise refused(name, f"there is no step {SAMPLE if sample is None else RESIZE}")
        scale = resize.get("scale")
        if not (isinstance(scale, list | tuple) and len(scale) == 2 and all(_is_size(side) for side in scale)):
            raise refused(name, f"{RESIZE} scale = {scale!r:.60} is not width and height in pixels")
        compact = parameters(name, value, COMPACT, {"hw_ratio": 1.0, "allow_imgpad": True})
        return cls(frames, compact is not None, scale[1], scale[0])


def parameters(name: str, value: Input, step: str, known: Mapping[str, Any]) -> Parameters | None:
    """Parameters of a step, None where the pipeline does not have it.

    Args:
        name: of the input.
        value: of the contract.
        step: its name.
        known: parameter -> the only value that is understood; None where any is.

    Raises:
        BundleError: there are others, or other values.
    """
    found = value.transform(step)
    if found is None:
        return None
    for key, given in found.parameters.items():
        if key not in known:
            raise refused(name, f"{step} {key} is not understood", f"understood are {', '.join(known)}")
        if known[key] is not None and given != known[key]:
            raise refused(name, f"{step} {key} = {given!r:.60}", f"only {known[key]!r} is understood")
    return found.parameters


def refused(name: str, reason: str, hint: str = "") -> BundleError:
    """The error of an input whose clips cannot be prepared as its network was trained on them."""
    return BundleError(f"clips for the input {name!r} cannot be prepared: {reason}", hint=hint)


def _is_size(side: object) -> bool:
    return isinstance(side, int) and not isinstance(side, bool) and side > 0
