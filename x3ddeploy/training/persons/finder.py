"""The detector and the pose network under MMEngine's Runner: their losses, and how right they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from torch import Tensor

from x3ddeploy.pose.decode import best_boxes, corners, from_heatmaps
from x3ddeploy.pose.track import overlap
from x3ddeploy.registry import METRICS, MODELS
from x3ddeploy.training.persons.networks import STRIDE, BoxNetwork, HeatmapNetwork

# Candidates so near to a person's middle, in parts of the box's sides, are that person's. Boxes are learned further
# out: a candidate in doubt then says the same box as the sure one, and is not taken for somebody else.
_OF_BOX, _OF_BOX_SIDES = 0.25, 0.45
_NEAR = 0.05  # a joint is right within this part of the person's longer side (PCK@0.05)
_SAME = 0.5  # a box is right where it shares this much of the union with a person's
# Mean squares over mostly empty heatmaps are small, and a network that says nothing everywhere is nearly right: what is
# about a joint counts ten times as much (with plain squares wrists are 9 pixels off where they are 1 otherwise).
_HEATMAP_WEIGHT, _PEAK_WEIGHT = 100.0, 9.0


@MODELS.register_module()
class PersonFinder(BaseModel):
    """Two networks that are trained side by side on the same pictures, and share nothing.

    Args:
        picture: height and width of what the detector takes.
        window: height and width of what the pose network takes.
        joints: number of joints of a person.
        channels: number of channels of the detector's and of the pose network's finest features.
    """

    def __init__(
        self,
        picture: tuple[int, int],
        window: tuple[int, int],
        joints: int = 17,
        channels: tuple[int, int] = (8, 16),
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.picture, self.window = picture, window
        self.detector = BoxNetwork(picture, channels[0])
        self.pose_network = HeatmapNetwork(joints, channels[1])

    def forward(self, mode: str = "tensor", **batch: Tensor) -> Any:
        """MMEngine's modes; see PersonPictures for what a batch holds.

        Returns:
            'loss': losses by name; 'predict': for each sample how right both are, in shares; else outputs by name.
        """
        if mode == "loss":
            wanted = batch["heatmaps"]
            squares = (self.pose_network(batch["window"]) - wanted) ** 2 * (1 + _PEAK_WEIGHT * wanted)
            return {
                "loss_heatmaps": _HEATMAP_WEIGHT * squares.mean(),
                **self._box_losses(batch["picture"], batch["boxes"]),
            }
        heatmaps, rows = self.pose_network(batch["window"]), self.detector(batch["picture"])
        if mode != "predict":
            return {"heatmaps": heatmaps, "rows": rows}
        points, _ = from_heatmaps(_array(heatmaps), *self.window)
        truth = {name: _array(batch[name]) for name in ("joints", "person", "boxes")}
        return [
            {
                "joints": _joints_found(points[place], truth["joints"][place], truth["person"][place]),
                "persons": _persons_found(row, truth["boxes"][place]),
            }
            for place, row in enumerate(_array(rows))
        ]

    def _box_losses(self, pictures: Tensor, boxes: Tensor) -> dict[str, Tensor]:
        """Whether a candidate is a person's, and by how much its box is off, over the candidates near to one.

        Args:
            pictures: (N, 3, H, W).
            boxes: (N, 32, 4), x0, y0, x1, y1; zeros behind the persons.
        """
        raw = self.detector.raw(pictures)
        centres, sides = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
        away = (self.detector.places.T[:, None] - centres[:, None]).abs() / sides.clamp(min=1e-3)[:, None]
        distance = away.amax(-1)  # (N, A, 32)
        nearest, whose = distance.min(-1)
        positive = nearest < _OF_BOX
        score = F.binary_cross_entropy_with_logits(raw[:, 4], positive.float())
        of_candidate = boxes.gather(1, whose[..., None].expand(-1, -1, 4))
        wanted = (of_candidate[..., :2] + of_candidate[..., 2:]) / 2, of_candidate[..., 2:] - of_candidate[..., :2]
        given = self.detector.boxes(raw).transpose(1, 2)
        shifts = (given[..., :2] - wanted[0]).abs() / STRIDE
        ratios = (given[..., 2:].log() - wanted[1].clamp(min=1.0).log()).abs()
        learning = nearest < _OF_BOX_SIDES
        off = torch.cat((shifts, 4 * ratios), -1).sum(-1) * learning
        return {"loss_score": 4 * score, "loss_box": 0.25 * off.sum() / learning.sum().clamp(min=1)}


@METRICS.register_module()
class FoundMetric(BaseMetric):
    """Means over the pictures of how many joints are right, how many persons, and of both."""

    default_prefix = "found"

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, float]]) -> None:
        self.results += data_samples

    def compute_metrics(self, results: Sequence[dict[str, float]]) -> dict[str, float]:
        means = {name: float(np.nanmean([result[name] for result in results])) for name in ("joints", "persons")}
        return {**means, "both": sum(means.values()) / 2}


def _joints_found(points: npt.NDArray[Any], joints: npt.NDArray[Any], box: npt.NDArray[Any]) -> float:
    """Share of the joints that are to be seen which lie near enough; NaN where none is."""
    seen = joints[:, 2] == 2
    if not seen.any():
        return float("nan")
    near = np.linalg.norm(points - joints[:, :2], axis=1) <= _NEAR * max(box[2:] - box[:2])
    return float(near[seen].mean())


def _persons_found(rows: npt.NDArray[Any], boxes: npt.NDArray[Any]) -> float:
    """Persons whose box is found, over all that there are or are said to be."""
    candidates = corners(rows[:4].T)
    said = candidates[best_boxes(candidates, rows[4])]
    there = boxes[boxes[:, 2] > boxes[:, 0]]
    hit = sum(any(overlap(box, other) >= _SAME for other in said) for box in there)
    return hit / max(len(there), len(said), 1)


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    return tensor.detach().cpu().numpy()
