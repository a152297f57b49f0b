"""Every rewrite computes what it was made from; a user whose rewrite is wrong deploys another network."""

import itertools

import pytest
import torch
from support.present import of_type

from x3ddeploy.families.two_stream_x3d.lowering.blocks import fold_batchnorm, frames_in_batch, pad_input, pad_widths
from x3ddeploy.families.two_stream_x3d.lowering.head import lower_head
from x3ddeploy.families.two_stream_x3d.lowering.strategy import TARGETS, lower, rewrites
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.randomized import random_network
from x3ddeploy.families.two_stream_x3d.x3d import (
    SqueezeExcitation,
    TemporalShift,
    X3DBackbone,
    X3DBlock,
    temporal_shift,
)
from x3ddeploy.lowering.batchnorm import Conv
from x3ddeploy.lowering.rewrite import prove, relative_error
from x3ddeploy.lowering.shift import GatherShift, SliceShift, TapShift

# Float32 rounding over a dozen layers stays under 1e-6 of the range; any wrong channel, frame or bias is over 1e-3.
TOLERANCE = 2e-6
# A rewrite of a float64 network is proven in float64, but for the square root that BatchNorm takes of its variance.
EXACT = 1e-6


@pytest.fixture(scope="module")
def network():
    return random_network(PRESETS["tiny"], seed=3)


def clips(batch, channels, frames, size=16, seed=0):
    return torch.randn(batch, channels, frames, size, size, generator=torch.Generator().manual_seed(seed))


def impulse(batch, channels, frames, size, frame):
    x = torch.zeros(batch, channels, frames, size, size)
    x[batch // 2, channels // 2, frame, size // 2, size // 3] = 5.0
    return x


def probes(channels, frames, size=16):
    """Random and impulse clips, alone and in an odd batch."""
    return [
        clips(1, channels, frames, size),
        clips(3, channels, frames, size, seed=1),
        *(impulse(n, channels, frames, size, t) for n in (1, 3) for t in {0, frames // 2, frames - 1}),
    ]


@pytest.mark.parametrize(("frames", "channels", "fold_div"), itertools.product((1, 2, 3, 8), (4, 10, 7, 24), (2, 4, 8)))
def test_every_shift_form_equals_the_definition_for_any_length_and_fold(frames, channels, fold_div):
    for x in probes(channels, frames, size=4):
        expected = torch.zeros_like(x)  # the definition, channel by channel and frame by frame
        fold = channels // fold_div
        for c, t in itertools.product(range(channels), range(frames)):
            source = t + 1 if c < fold else t - 1 if c < 2 * fold else t
            if 0 <= source < frames:
                expected[:, c, t] = x[:, c, source]
        assert torch.equal(temporal_shift(x, fold_div), expected)
        assert torch.equal(TapShift(fold_div, channels)(x), expected)
        as_frames = x.transpose(1, 2).flatten(0, 1)
        for form in (SliceShift(fold_div, frames), GatherShift(fold_div, frames, channels)):
            assert torch.equal(form(as_frames).unflatten(0, (-1, frames)).transpose(1, 2), expected)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("frames", [1, 2, 3, 6])
@pytest.mark.parametrize("stream", ["rgb", "pose"])
def test_each_step_of_each_strategy_is_exact_for_any_clip_length(network, target, frames, stream):
    backbone = network.get_submodule(f"{stream}_backbone")
    steps = rewrites(backbone.spec, frames, TARGETS[target])
    proofs = prove(backbone, steps, probes(backbone.spec.in_channels, frames))
    assert len(proofs) >= 3
    assert all(proof.relative_error < EXACT for proof in proofs), proofs


def test_lowering_leaves_the_trained_network_as_it_was(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    for strategy in TARGETS.values():
        lower(network.rgb_backbone, 4, strategy)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_folding_is_wrong_where_a_statistic_is_wrong(network):
    """The proof can fail: a BatchNorm off by one part in a thousand is seen."""
    folded = fold_batchnorm(network.rgb_backbone)
    folded.conv1_s.bias.data[0] += 1e-3
    assert relative_error(network.rgb_backbone, folded, [clips(1, 3, 4)]) > 10 * TOLERANCE


@pytest.mark.parametrize("multiple", [1, 4, 8, 16])
def test_padded_widths_change_nothing_and_are_multiples(network, multiple):
    folded = fold_batchnorm(network.pose_backbone)
    padded = of_type(X3DBackbone, pad_widths(folded, multiple))
    blocks = [of_type(X3DBlock, block) for stage in padded.stages for block in stage]
    widths = {of_type(Conv, block.conv1).out_channels for block in blocks}
    assert all(width % multiple == 0 for width in widths)
    assert relative_error(folded, padded, probes(17, 6)) < TOLERANCE


def test_padded_input_takes_the_original_channels(network):
    folded = fold_batchnorm(network.pose_backbone)
    assert relative_error(folded, pad_input(folded, 4), probes(17, 6)) < TOLERANCE


def test_frames_form_does_not_mix_neighbouring_clips(network):
    """Clips lie next to each other in the frames' axis: a batch must give what its clips give alone."""
    lowered = frames_in_batch(fold_batchnorm(network.rgb_backbone), 4)
    x = clips(3, 3, 4)
    with torch.inference_mode():
        together = lowered(x)
        alone = torch.cat([lowered(clip[None]) for clip in x])
    assert torch.allclose(together, alone, atol=1e-5)


def test_order_of_frames_matters(network):
    """A lowering that lost the shift would still pass on a still video."""
    x = clips(1, 3, 4)
    with torch.inference_mode():
        for strategy in TARGETS.values():
            lowered = lower(network.rgb_backbone, 4, strategy)
            forward, backward = lowered(x), lowered(x.flip(2)).flip(2)
            assert (forward - backward).abs().max() > 0.05 * forward.abs().max()


def test_a_convolution_over_time_is_refused(network):
    folded = fold_batchnorm(network.rgb_backbone)
    folded.conv5 = Conv(
        torch.zeros(24, 16, 3, 1, 1), torch.zeros(24), stride=(1, 1, 1), padding=(1, 0, 0), groups=1, relu=True
    )
    with pytest.raises(ValueError, match="mixes or strides time"):
        frames_in_batch(folded, 4)


def test_lowered_head_gives_the_same_cosines_even_at_zero_norm(network):
    head = network.cls_head
    features = torch.rand(3, 24, 4, 4, 4), torch.rand(3, 20, 6, 4, 4)
    zero = torch.zeros(1, 24, 4, 4, 4), torch.zeros(1, 20, 6, 4, 4)
    head.fr_rgb.spatio_cl_net.avg_f.data[:, 0] = 0  # a class that was never seen in training
    lowered = lower_head(head, network.fusion)
    with torch.inference_mode():
        for inputs in (features, zero):
            expected, actual = network.classify(*inputs), lowered(*inputs)
            for name, value in expected.items():
                assert torch.allclose(value, actual[name], atol=1e-5), name


def test_se_and_shift_hold_no_weights_of_their_own_in_the_checkpoint(network):
    assert not list(TemporalShift(4).parameters())
    keys = network.state_dict()
    assert "rgb_backbone.layer1.0.se_module.fc1.weight" in keys
    assert not any("shift" in key for key in keys)
    assert isinstance(network.rgb_backbone.stages[0][0].se_module, SqueezeExcitation)
