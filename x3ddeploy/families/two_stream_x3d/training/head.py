"""The head under the name and keys of the original configs, with its losses; a superset of MMAction2's RGBPoseHead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, normal_init
from torch import Tensor, nn

from x3ddeploy.errors import UsageError
from x3ddeploy.families.two_stream_x3d.config_keys import read_keys
from x3ddeploy.families.two_stream_x3d.contract import EQUAL_FUSION
from x3ddeploy.families.two_stream_x3d.head import TwoStreamHead, fuse_scores
from x3ddeploy.families.two_stream_x3d.spec import HeadSpec
from x3ddeploy.families.two_stream_x3d.training.coarse import coarse_map
from x3ddeploy.registry import MODELS
from x3ddeploy.training.repeatable import ShardedDropout

STREAMS = ("rgb", "pose")
COARSE_STREAMS = ("rgb_coarse", "pose_coarse")


@dataclass(frozen=True)
class HeadConfig:
    """The keys of `RGBPoseHead`.

    Attributes:
        in_channels: channels of the RGB and of the pose features.
        num_coarse_classes: 0 for a head without coarse classifiers.
        coarse_of: coarse class of each class; left out for the published data sets, whose maps are known.
        prototype_dim: width of the embedding that is compared with class prototypes; 0 for none.
        loss_weights: weights of rgb, pose and, with coarse classes, rgb_coarse, pose_coarse; or one number for all.
        dropout: share of pooled features that is dropped, for both streams or as dict(rgb=..., pose=...).
        average_clips: how a video's clips are averaged: 'prob', 'score' or None.
        init_std: standard deviation of the linear layers' initial weights.
        topk: which top-k accuracies of a batch are logged.
    """

    num_classes: int
    in_channels: Sequence[int]
    num_coarse_classes: int = 0
    coarse_of: Sequence[int] | None = None
    prototype_dim: int = 0
    loss_components: Sequence[str] = STREAMS
    loss_weights: float | Sequence[float] = 1.0
    dropout: float | dict[str, float] = 0.5
    average_clips: str | None = None
    label_smooth_eps: float = 0.0
    init_std: float = 0.01
    topk: Sequence[int] = (1, 5)
    loss_cls: dict[str, Any] | None = None

    def spec(self) -> HeadSpec:
        """Raises UsageError for values that the head does not support."""
        if len(self.in_channels) != len(STREAMS):
            raise UsageError(f"RGBPoseHead in_channels {self.in_channels} is not one number a stream (rgb, pose)")
        if tuple(self.loss_components) not in (STREAMS, STREAMS + COARSE_STREAMS):
            raise UsageError(f"RGBPoseHead loss_components {self.loss_components} is not supported, only {STREAMS}")
        if (self.loss_cls or {}).get("type", "CrossEntropyLoss") != "CrossEntropyLoss":
            raise UsageError(f"RGBPoseHead loss_cls {self.loss_cls} is not supported, only CrossEntropyLoss")
        return HeadSpec(
            self.in_channels[0],
            self.in_channels[1],
            self.num_classes,
            self.num_coarse_classes,
            self.prototype_dim,
            "none" if self.average_clips is None else self.average_clips,
        )

    def weights(self) -> dict[str, float]:
        """Loss weight by component. Raises UsageError where there are more or fewer weights than components."""
        names = STREAMS + COARSE_STREAMS if self.num_coarse_classes else STREAMS
        scalar = isinstance(self.loss_weights, (int, float))
        values = [self.loss_weights] * len(names) if scalar else list(self.loss_weights)  # type: ignore[arg-type]
        if len(values) != len(names):
            raise UsageError(f"RGBPoseHead has {len(values)} loss_weights, and needs {len(names)}: {', '.join(names)}")
        return dict(zip(names, map(float, values), strict=True))  # type: ignore[arg-type]


@MODELS.register_module()
class RGBPoseHead(TwoStreamHead, BaseModule):
    """Dropout and classifiers of both streams, weighted cross-entropies, predictions; keys as in `HeadConfig`."""

    coarse_of: Tensor

    def __init__(self, init_cfg: dict[str, Any] | None = None, **keys: Any) -> None:
        config = read_keys(HeadConfig, "RGBPoseHead", keys)
        spec = config.spec()
        super().__init__(spec)
        self.init_cfg = init_cfg
        self.config = config
        self.loss_weights = config.weights()
        share = config.dropout if isinstance(config.dropout, dict) else dict.fromkeys(STREAMS, config.dropout)
        self.dropout_rgb, self.dropout_pose = (ShardedDropout(share[name], i) for i, name in enumerate(STREAMS))
        if spec.coarse_classes:
            coarse_of = coarse_map(spec.classes, spec.coarse_classes, config.coarse_of)
            # Data, not weights: the checkpoint's layout does not have it.
            self.register_buffer("coarse_of", torch.tensor(coarse_of), persistent=False)

    def init_weights(self) -> None:
        """Linear layers from a normal distribution; prototypes keep the unit normal of their construction."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                normal_init(module, std=self.config.init_std)
        super().init_weights()

    def loss(self, feats: tuple[Tensor, Tensor], data_samples: Sequence[Any], **_: Any) -> dict[str, Tensor]:
        """Weighted losses `<component>_loss_cls`, and what is only logged.

        Args:
            feats: (N, C, T, H, W) of the RGB and of the pose backbone.
            data_samples: N samples with `gt_label` of one integer.

        Returns:
            Losses of rgb, pose, rgb_coarse and pose_coarse; top-k of rgb, pose and their 1:1 fusion; and, for a batch
            of more than one clip, `rgb_variation` and `pose_variation` (see `variation`).
        """
        pooled_rgb, pooled_pose = (feat.mean((2, 3, 4)) for feat in feats)
        logits = self(_unpool(self.dropout_rgb(pooled_rgb)), _unpool(self.dropout_pose(pooled_pose)))
        labels = torch.stack([sample.gt_label for sample in data_samples]).reshape(-1).to(pooled_rgb.device)
        results = self._losses(logits, labels) | self._accuracies(logits, labels)
        if len(labels) > 1:
            results["rgb_variation"], results["pose_variation"] = variation(pooled_rgb), variation(pooled_pose)
        return results

    def _losses(self, logits: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        losses = {}
        for name, weight in self.loss_weights.items():
            target = self.coarse_of[labels] if name in COARSE_STREAMS else labels
            smoothing = 0.0 if name in COARSE_STREAMS else self.config.label_smooth_eps
            value = F.cross_entropy(logits[f"{name}_logits"].float(), target, label_smoothing=smoothing)
            losses[f"{name}_loss_cls"] = weight * value
        return losses

    @torch.no_grad()
    def _accuracies(self, logits: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        scores = {name: logits[f"{name}_logits"].float() for name in STREAMS}
        scores["fused"] = fuse_scores(scores["rgb"], scores["pose"], EQUAL_FUSION)
        accuracies = {}
        for name, value in scores.items():
            ranked = value.topk(min(max(self.config.topk), value.shape[1])).indices == labels[:, None]
            for k in self.config.topk:
                accuracies[f"{name}_top{k}_acc"] = ranked[:, :k].any(1).float().mean()
        return accuracies

    def predict(self, feats: tuple[Tensor, Tensor], data_samples: Sequence[Any], **_: Any) -> Sequence[Any]:
        """Give each video's sample its `pred_score`: dict(rgb=..., pose=...), averaged over the video's clips."""
        logits = self(*feats)
        scores = {name: self._average(logits[f"{name}_logits"].float(), len(data_samples)) for name in STREAMS}
        for index, sample in enumerate(data_samples):
            sample.set_pred_score({name: value[index] for name, value in scores.items()})
        return data_samples

    def _average(self, logits: Tensor, videos: int) -> Tensor:
        """(videos * clips, classes) -> (videos, classes); with average_clips None (videos, clips, classes)."""
        clips = logits.reshape(videos, -1, logits.shape[1])
        if self.config.average_clips is None:
            return clips
        return (clips.softmax(2) if self.config.average_clips == "prob" else clips).mean(1)


@torch.no_grad()
def variation(pooled: Tensor) -> Tensor:
    """How much features differ between clips: standard deviation over the batch by mean magnitude; 0 where all are 0.

    Args:
        pooled: (N, C), N > 1.
    """
    values = pooled.float()
    return values.std(0, unbiased=False).mean() / values.abs().mean().clamp_min(torch.finfo(torch.float32).tiny)


def _unpool(pooled: Tensor) -> Tensor:
    """(N, C) -> (N, C, 1, 1, 1), whose mean over time and space is itself."""
    return pooled[:, :, None, None, None]
