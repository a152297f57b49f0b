"""Where in the pictures a class was seen: Grad-CAM on the last feature maps of an exported graph.

Grad-CAM (Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391) weighs each channel k of the last feature map A by
the mean gradient of the class's logit y over the map's Z places, and keeps what is positive of the weighted sum:

    alpha_k = 1/Z sum_p dy/dA_k(p),    map = max(0, sum_k alpha_k A_k)

A runtime has no gradients, but these are derivatives along one direction for each channel: Z alpha_k is how y changes
when channel k grows everywhere by the same amount. It is taken by central differences of the graph behind the map,
which is small. Where that graph is a mean and a linear layer the differences are exact, and the map is CAM
(Zhou et al. 2016, https://arxiv.org/abs/1512.04150). A clip's places are those of all its frames, as the pooling has
it. A network with several last maps (SlowFast) has the sum of theirs, each on its own grid of places.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from x3ddeploy.bundle import Bundle
from x3ddeploy.contract import WHOLE, InputKind
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.graphs.tail import Tail, tail_of
from x3ddeploy.runtimes.base import Array, Session
from x3ddeploy.runtimes.registry import open_session

Floats = npt.NDArray[np.float32]

_STEP = 0.005  # of a channel, as a share of the map's largest value: small beside it, large beside float32's rounding
_AT_A_TIME = 32  # channels


@dataclass(frozen=True, eq=False)
class ClassMaps:
    """What the last maps say for a class, each (T', h, w), before what is negative is left out.

    Attributes:
        maps: name of the map -> its weighted sum over the channels; their mean over the places is what they add to the
            logit where the graph behind them is linear.
    """

    maps: Mapping[str, Floats]

    def at(self, frames: int, height: int, width: int) -> Floats:
        """(frames, height, width): the sum of the maps, and 0 where it is negative."""
        total = sum((_resized(value, (frames, height, width)) for value in self.maps.values()), np.float32(0))
        return np.maximum(total, 0).astype(np.float32)


class GradCam:
    """A bundle's float32 graph, cut behind its last maps; `close` gives both pieces back.

    Args:
        bundle: opened.
        runtime: one that runs graphs, and gives inner tensors.
        device: device of the runtime.

    Raises:
        X3DDeployError: the graph has no last map of the pictures.
    """

    def __init__(self, bundle: Bundle, runtime: str = "onnxruntime", device: str | None = None) -> None:
        contract = bundle.contract
        self._weights = contract.scores[contract.deployed].shares()
        self._batch = contract.batch
        model = onnx.load(bundle.part_path(WHOLE))
        tail = tail_of(model, tuple(contract.of_kind(InputKind.FRAMES)), tuple(self._weights))
        if tail is None:
            raise X3DDeployError(
                f"{bundle.path} has no feature map of the pictures that could be shown",
                hint="its network stops looking at places before its graph's end, or in none that is known",
            )
        self._tail: Tail = tail
        self._front: Session = open_session(runtime, tail.whole.SerializeToString(), device=device, outputs=tail.inputs)
        self._behind: Session = open_session(runtime, tail.model.SerializeToString(), device=device)

    def maps(self, clip: Mapping[str, Array], label: int) -> ClassMaps:
        """The class's maps of one clip, (1, ...) of each input."""
        rows = self._batch or 1
        given = self._front.run({name: np.repeat(value, rows, 0) for name, value in clip.items()})
        taken = {name: given[name][: len(given[name]) // rows] for name in self._tail.inputs}
        return ClassMaps({name: self._class_map(taken, name, label) for name in self._tail.maps})

    def _class_map(self, taken: Mapping[str, Array], name: str, label: int) -> Floats:
        value = taken[name]
        channels, step = value.shape[1], _STEP * float(np.abs(value).max()) or 1.0
        at_a_time = self._batch or _AT_A_TIME
        groups = [range(start, min(start + at_a_time, channels)) for start in range(0, channels, at_a_time)]
        more, less = (
            np.concatenate([self._logit(taken, name, group, change, label) for group in groups])
            for change in (step, -step)
        )
        weighted = np.tensordot((more - less) / (2 * step), value.astype(np.float64), (0, 1))
        # (1, T, h, w) of a 3-D network; (T, h, w) of a 2-D one, whose frames are rows.
        return weighted.reshape(weighted.shape[-3:]).astype(np.float32)

    def _logit(
        self, taken: Mapping[str, Array], name: str, channels: Sequence[int], step: float, label: int
    ) -> npt.NDArray[np.float64]:
        """The class's logit with each of the channels changed in turn."""
        rows = self._batch or len(channels)
        feeds = {other: np.concatenate([value] * rows) for other, value in taken.items()}
        each = feeds[name].reshape(rows, -1, *feeds[name].shape[1:])
        for row, channel in enumerate(channels):
            each[row, :, channel] += np.float32(step)
        logits = self._behind.run(feeds)
        total = sum(share * logits[output][:, label].astype(np.float64) for output, share in self._weights.items())
        return np.asarray(total)[: len(channels)]

    def close(self) -> None:
        """Give back what the runtime holds."""
        self._front.close()
        self._behind.close()


def _resized(value: Floats, size: tuple[int, int, int]) -> Floats:
    """(T', h, w) to another size, linearly between the middles of places, as PyTorch's interpolate does."""
    for axis, wanted in enumerate(size):
        value = np.moveaxis(np.stack(list(_between(np.moveaxis(value, axis, 0), wanted))), 0, axis)
    return value


def _between(planes: Floats, wanted: int) -> Iterator[Floats]:
    places = (np.arange(wanted) + 0.5) * len(planes) / wanted - 0.5
    for place in places.clip(0, len(planes) - 1):
        before = int(place)
        after = min(before + 1, len(planes) - 1)
        yield planes[before] + np.float32(place - before) * (planes[after] - planes[before])
