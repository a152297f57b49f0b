"""What is minimised is what the config says: four weighted cross-entropies, dropout, prototypes."""

import pytest
import torch
import torch.nn.functional as F

from x3ddeploy.errors import UsageError
from x3ddeploy.mmaction_compat import import_everything

import_everything()

from x3ddeploy.families.two_stream_x3d.head import fuse_scores  # noqa: E402
from x3ddeploy.families.two_stream_x3d.training.coarse import coarse_map  # noqa: E402
from x3ddeploy.families.two_stream_x3d.training.head import RGBPoseHead, variation  # noqa: E402

WEIGHTS = [1.0, 1.5, 0.6, 1.2]
COARSE_OF = [0, 0, 1, 2, 2, 2]


class Sample:
    def __init__(self, label):
        self.gt_label = torch.tensor([label])

    def set_pred_score(self, scores):
        self.pred_score = scores


def head(**keys):
    torch.manual_seed(0)
    keys = {"num_coarse_classes": 3, "coarse_of": COARSE_OF, "loss_weights": WEIGHTS, "dropout": 0.0, **keys}
    return RGBPoseHead(num_classes=6, in_channels=[8, 5], **keys)


def batch(clips=4):
    torch.manual_seed(1)
    feats = torch.randn(clips, 8, 2, 3, 3).relu(), torch.randn(clips, 5, 4, 3, 3).relu()
    return feats, [Sample(label % 6) for label in range(clips)]


@pytest.mark.parametrize("prototype_dim", [0, 7])
def test_losses_equal_their_definition(prototype_dim):
    feats, samples = batch()
    module = head(prototype_dim=prototype_dim)
    losses = module.loss(feats, samples)
    logits = module(*feats)
    labels = torch.tensor([0, 1, 2, 3])
    coarse = torch.tensor([0, 0, 1, 2])
    for name, target, weight in zip(
        ("rgb", "pose", "rgb_coarse", "pose_coarse"), (labels, labels, coarse, coarse), WEIGHTS, strict=True
    ):
        expected = weight * -logits[f"{name}_logits"].log_softmax(1)[range(4), target].mean()
        torch.testing.assert_close(losses[f"{name}_loss_cls"], expected)
    assert sum("loss" in name for name in losses) == 4  # MMEngine minimises what has 'loss' in its name


def test_label_smoothing_is_mmactions():
    feats, samples = batch()
    module = head(label_smooth_eps=0.1)
    target = F.one_hot(torch.tensor([0, 1, 2, 3]), 6) * 0.9 + 0.1 / 6
    expected = F.cross_entropy(module(*feats)["rgb_logits"], target)
    torch.testing.assert_close(module.loss(feats, samples)["rgb_loss_cls"], expected)


def test_a_plain_head_has_two_losses_and_takes_one_weight():
    feats, samples = batch()
    losses = head(num_coarse_classes=0, coarse_of=None, loss_weights=1.0).loss(feats, samples)
    assert [name for name in losses if "loss" in name] == ["rgb_loss_cls", "pose_loss_cls"]


def test_logged_accuracies_are_those_of_streams_and_fusion():
    feats, samples = batch(12)
    module = head()
    logged = module.loss(feats, samples)
    logits = module(*feats)
    fused = fuse_scores(logits["rgb_logits"], logits["pose_logits"], (1, 1))
    labels = torch.arange(12) % 6
    assert logged["fused_top1_acc"] == (fused.argmax(1) == labels).float().mean()
    assert logged["pose_top1_acc"] == (logits["pose_logits"].argmax(1) == labels).float().mean()
    least = logits["rgb_logits"].argmin(1)  # of six classes, top 5 leaves out the last one
    assert logged["rgb_top5_acc"] == (least != labels).float().mean()


def test_every_weight_of_the_prototype_head_learns():
    feats, samples = batch()
    module = head(prototype_dim=7)
    sum(value for name, value in module.loss(feats, samples).items() if "loss" in name).backward()
    assert [name for name, weight in module.named_parameters() if weight.grad is None or not weight.grad.any()] == []


def test_dropout_is_off_in_evaluation_and_keeps_the_mean_in_training():
    feats, samples = batch()
    module = head(dropout=0.5)
    value = torch.ones(64, 128)
    dropped = module.dropout_rgb(value)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(module.eval().dropout_rgb(value), value)
    assert not torch.equal(
        module.train().loss(feats, samples)["rgb_loss_cls"], head().loss(feats, samples)["rgb_loss_cls"]
    )


def test_dropout_depends_on_the_iteration_and_the_stream():
    module = head(dropout=0.5)
    value = torch.ones(8, 32)
    first = module.dropout_rgb(value)
    assert torch.equal(first, module.dropout_rgb(value))
    assert not torch.equal(first, module.dropout_pose(value))
    module.dropout_rgb.state = (0, 1)
    assert not torch.equal(first, module.dropout_rgb(value))


@pytest.mark.parametrize(
    ("average_clips", "average"),
    [("prob", lambda x: x.softmax(2).mean(1)), ("score", lambda x: x.mean(1)), (None, lambda x: x)],
)
def test_clips_of_a_video_are_averaged_as_asked(average_clips, average):
    feats, _ = batch(6)
    module = head(average_clips=average_clips).eval()
    samples = module.predict(feats, [Sample(0), Sample(1)])
    expected = average(module(*feats)["pose_logits"].reshape(2, 3, 6))
    torch.testing.assert_close(torch.stack([sample.pred_score["pose"] for sample in samples]), expected)


def test_published_coarse_maps_are_known():
    firsts = {(60, 8): [0, 10, 20, 30, 40, 45, 50, 55], (52, 7): [0, 5, 11, 24, 32, 38, 48]}
    for (classes, coarse), starts in firsts.items():
        known = coarse_map(classes, coarse, None)
        assert [known.index(group) for group in range(coarse)] == starts
        assert list(known) == sorted(known)


@pytest.mark.parametrize(
    ("coarse_of", "words"), [(None, "not known"), ([0, 1, 2], "3 values"), ([0, 0, 0, 1, 1, 1], "names")]
)
def test_a_coarse_map_that_does_not_fit_is_refused(coarse_of, words):
    with pytest.raises(UsageError, match=words):
        coarse_map(6, 3, coarse_of)


@pytest.mark.parametrize(
    "keys", [{"loss_weights": [1.0, 1.5]}, {"loss_components": ["rgb"]}, {"loss_cls": {"type": "BCELossWithLogits"}}]
)
def test_losses_that_the_head_does_not_have_are_refused(keys):
    with pytest.raises(UsageError):
        head(**keys)


def test_variation_is_zero_for_features_that_tell_no_clips_apart():
    assert variation(torch.zeros(4, 8)) == 0
    assert variation(torch.ones(4, 1) * torch.rand(1, 8)) < 1e-6
    assert variation(torch.rand(4, 8)) > 0.1
