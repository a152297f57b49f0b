"""Frames, crops and views of every pipeline of MMAction2's recognizers of video: its own classes beside ours.

Indices and pixels are equal; normalised values too, up to the rounding of one float32 division.
"""

import copy
import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.present import of_type

from x3ddeploy.contract import BATCH_AXIS, Input, InputKind, Transform, Views
from x3ddeploy.data.prepare import prepare_clips
from x3ddeploy.errors import BundleError, DataError, UsageError
from x3ddeploy.mmaction_compat import import_everything
from x3ddeploy.modalities import Frames, modalities_of, one_view, sample_clips, with_clips

LENGTHS = [1, 2, 3, 7, 8, 9, 15, 16, 17, 30, 31, 32, 33, 47, 63, 64, 65, 100, 127, 128, 129, 300]
SIZE = 16
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]

# Type and parameters of a sampling step, the frames that the network takes together, and the clips that come of it.
SAMPLERS = [
    ("SampleFrames", {"clip_len": 8, "frame_interval": 3}, 8, 1),
    ("SampleFrames", {"clip_len": 4, "frame_interval": 2, "num_clips": 10}, 4, 10),
    ("SampleFrames", {"clip_len": 4, "frame_interval": 5, "num_clips": 3, "out_of_bound_opt": "repeat_last"}, 4, 3),
    ("SampleFrames", {"clip_len": 4, "frame_interval": 4, "num_clips": 5, "keep_tail_frames": True}, 4, 5),
    ("SampleFrames", {"clip_len": 1, "num_clips": 25}, 25, 1),
    ("SampleFrames", {"clip_len": 1, "frame_interval": 1, "num_clips": 8, "twice_sample": True}, 8, 2),
    ("SampleFrames", {"clip_len": 1, "num_clips": 16, "out_of_bound_opt": "repeat_last"}, 8, 2),
    ("SampleFrames", {"clip_len": 8, "frame_interval": 2, "num_clips": 5, "target_fps": 30}, 8, 5),
    ("SampleFrames", {"clip_len": 8, "frame_interval": 2, "target_fps": 12}, 8, 1),
    ("DenseSampleFrames", {"clip_len": 1, "num_clips": 8}, 8, 10),
    ("DenseSampleFrames", {"clip_len": 1, "num_clips": 8, "sample_range": 20, "num_sample_positions": 4}, 8, 4),
    ("DenseSampleFrames", {"clip_len": 8, "frame_interval": 8, "out_of_bound_opt": "repeat_last"}, 8, 10),
    ("UniformSample", {"clip_len": 16}, 16, 1),
    ("UniformSample", {"clip_len": 8, "num_clips": 4}, 8, 4),
    ("UniformSampleFrames", {"clip_len": 8, "num_clips": 10, "seed": 3}, 8, 10),
]  # fmt: skip

# Steps after decoding, the size that comes of them, crops, and whether each is mirrored as well.
SHAPES = [
    ([("Resize", {"scale": (-1, 20)}), ("CenterCrop", {"crop_size": SIZE})], (SIZE, SIZE), 1, False),
    ([("Resize", {"scale": (-1, 20)}), ("CenterCrop", {"crop_size": (12, SIZE)})], (SIZE, 12), 1, False),
    ([("Resize", {"scale": (-1, SIZE)}), ("ThreeCrop", {"crop_size": SIZE})], (SIZE, SIZE), 3, False),
    ([("Resize", {"scale": (-1, 21)}), ("TenCrop", {"crop_size": SIZE})], (SIZE, SIZE), 5, True),
    ([("Resize", {"scale": (22, 14), "keep_ratio": False})], (14, 22), 1, False),
    ([("Resize", {"scale": (40, 20), "interpolation": "bicubic"}), ("CenterCrop", {"crop_size": SIZE})],
     (SIZE, SIZE), 1, False),
    ([("Resize", {"scale": 0.7, "interpolation": "area"}), ("CenterCrop", {"crop_size": SIZE})],
     (SIZE, SIZE), 1, False),
    ([("Resize", {"scale": (SIZE, SIZE), "keep_ratio": False, "interpolation": "nearest"}),
      ("Flip", {"flip_ratio": 1})], (SIZE, SIZE), 1, False),
    ([("Resize", {"scale": (-1, 20), "interpolation": "lanczos"}), ("CenterCrop", {"crop_size": SIZE}),
      ("Flip", {"flip_ratio": 0})], (SIZE, SIZE), 1, False),
]  # fmt: skip


@pytest.fixture(scope="module")
def registry():
    pytest.importorskip("mmaction")
    import_everything()
    return importlib.import_module("mmaction.registry")


def sampling(kind, values, length, clips, steps=None, shape=None):
    """An input whose pipeline samples so; its frames are whole and square where nothing else is said."""
    steps = steps or [("Resize", {"scale": (SIZE, SIZE), "keep_ratio": False})]
    shape = shape or (3, length, SIZE, SIZE)
    testing = {} if kind == "UniformSampleFrames" else {"test_mode": True}
    pipeline = [Transform(kind, {**values, **testing}), *(Transform(name, known) for name, known in steps)]
    return Input(InputKind.FRAMES, (BATCH_AXIS, *shape), tuple(pipeline), Views(clips))


def drawn_by_mmaction(registry, kind, values, frames, fps):
    step = registry.TRANSFORMS.build({"type": kind, **values, "test_mode": True})
    known = {"total_frames": frames, "start_index": 0, **({} if fps is None else {"avg_fps": fps})}
    return step.transform(known)["frame_inds"]


@pytest.mark.parametrize(("kind", "values", "length", "clips"), SAMPLERS)
@pytest.mark.parametrize("fps", [None, 25.0, 29.97])
def test_frames_are_mmaction2s(registry, kind, values, length, clips, fps):
    inputs = {"imgs": sampling(kind, values, length, clips)}
    for frames in LENGTHS:
        drawn = sample_clips(frames, inputs, fps=fps)["imgs"]
        assert drawn.shape == (clips, length)
        np.testing.assert_array_equal(
            drawn.ravel(), drawn_by_mmaction(registry, kind, values, frames, fps), str(frames)
        )


def by_mmaction(registry, video, sampler, steps, layout):
    """The tensor that its transforms and its data preprocessor make of a video's frames."""
    kind, values = sampler
    indices = drawn_by_mmaction(registry, kind, values, len(video), None)
    results = {
        "imgs": [video[index].copy() for index in indices], "img_shape": video.shape[1:3], "modality": "RGB",
        "num_clips": values.get("num_clips", 1), "clip_len": values["clip_len"],
    }  # fmt: skip
    for name, known in (*steps, ("FormatShape", {"input_format": layout})):
        results = registry.TRANSFORMS.build({"type": name, **copy.deepcopy(known)}).transform(results)
    step = registry.MODELS.build({"type": "ActionDataPreprocessor", "mean": MEAN, "std": STD, "format_shape": layout})
    batch, _ = step.preprocess([torch.from_numpy(np.ascontiguousarray(results["imgs"]))], None)
    return batch[0].numpy()


@pytest.mark.parametrize(("steps", "size", "crops", "mirrored"), SHAPES)
@pytest.mark.parametrize("picture", [(24, 37), (37, 24), (30, 30)])
@pytest.mark.parametrize("layout", ["NCHW", "NCTHW"])
def test_tensors_are_mmaction2s(registry, steps, size, crops, mirrored, picture, layout):
    two_dimensional = layout == "NCHW"
    sampler = ("SampleFrames", {"clip_len": 1, "num_clips": 3, "twice_sample": True})
    if not two_dimensional:
        sampler = ("SampleFrames", {"clip_len": 3, "frame_interval": 2, "num_clips": 2})
    video = np.random.default_rng(0).integers(0, 256, (19, *picture, 3), np.uint8)
    shape = (3, 3, *size)  # three frames of three channels: FormatShape tells which are which
    more = [("FormatShape", {"input_format": layout}), ("Normalize", {"mean": MEAN, "std": STD})]
    value = replace(sampling(*sampler, 3, 2, [*steps, *more], shape), views=Views(2, crops, mirrored))
    made = prepare_clips(video.__getitem__, None, {"imgs": value}, sample_clips(len(video), {"imgs": value}))["imgs"]
    expected = by_mmaction(registry, video, sampler, steps, layout)
    assert made.shape == (value.views.count, *shape)
    np.testing.assert_allclose(made, expected.reshape(made.shape), rtol=1e-6, atol=1e-6)


TWICE = ("SampleFrames", {"clip_len": 1, "num_clips": 8, "twice_sample": True}, 8, 2)
TEN = [("Resize", {"scale": [-1, 20]}), ("TenCrop", {"crop_size": SIZE})]


@pytest.mark.parametrize(("kind", "values", "length", "clips"), SAMPLERS)
def test_one_view_is_one_clip_and_the_middle(kind, values, length, clips):
    value = replace(sampling(kind, values, length, clips, TEN), views=Views(clips, 5, True))
    (single,) = one_view({"imgs": value}).values()
    view = of_type(Frames, modalities_of({"imgs": single})["imgs"]).view
    assert (single.views, view.cropping.crops) == (Views(), 1)
    assert sample_clips(50, {"imgs": single})["imgs"].shape == (1, length)
    assert view.size == (SIZE, SIZE)


def test_another_number_of_clips_is_drawn_where_clips_are_no_segments():
    clips = {"imgs": sampling("SampleFrames", {"clip_len": 4, "num_clips": 2}, 4, 2)}
    assert sample_clips(50, with_clips(clips, 7))["imgs"].shape == (7, 4)
    dense = {"imgs": sampling("DenseSampleFrames", {"clip_len": 1, "num_clips": 8}, 8, 10)}
    assert sample_clips(50, with_clips(dense, 3))["imgs"].shape == (3, 8)
    once = with_clips({"imgs": sampling(*TWICE)}, 1)
    np.testing.assert_array_equal(
        sample_clips(50, once)["imgs"], sample_clips(50, {"imgs": sampling(*TWICE)})["imgs"][:1]
    )
    with pytest.raises(UsageError, match="8 frames from all over the video, so there are not 3 clips"):
        with_clips({"imgs": sampling(*TWICE)}, 3)


RESIZE = ("Resize", {"scale": [-1, 20]})
CENTER = ("CenterCrop", {"crop_size": SIZE})


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([RESIZE, CENTER, ("ColorJitter", {})], "the step ColorJitter is not understood"),
        ([CENTER, RESIZE], "are not in the order"),
        ([RESIZE, CENTER, ("ThreeCrop", {"crop_size": SIZE})], "are not in the order"),
        ([RESIZE], "leaves the width or the height to the video"),
        ([("Resize", {"scale": [-1, 20], "keep_ratio": False}), CENTER], r"Resize.scale = \[-1, 20\]"),
        ([("Resize", {"scale": [-1, -1]}), CENTER], r"Resize.scale = \[-1, -1\]"),
        ([("Resize", {"scale": 2}), CENTER], "Resize.scale = 2"),
        ([("Resize", {"scale": [-1, 20], "interpolation": "cubic"}), CENTER], "Resize.interpolation = 'cubic'"),
        ([("Resize", {"scale": [-1, 20], "lazy": True}), CENTER], "Resize.lazy = True"),
        ([RESIZE, ("CenterCrop", {"crop_size": [0, 4]})], r"CenterCrop.crop_size = \[0, 4\]"),
        ([RESIZE, ("CenterCrop", {"crop_size": 12})], "pictures of 12 x 12 pixels"),
        ([RESIZE, CENTER, ("Flip", {})], "Flip.flip_ratio = 0.5"),
        ([RESIZE, CENTER, ("Flip", {"flip_ratio": 1, "direction": "vertical"})], "Flip.direction = 'vertical'"),
        ([RESIZE, CENTER, ("FormatShape", {"input_format": "NPTCHW"})], "FormatShape.input_format = 'NPTCHW'"),
        ([RESIZE, CENTER, ("FormatShape", {"input_format": "NCHW"})], "FormatShape.input_format = 'NCHW'"),
        ([RESIZE, CENTER, ("FormatShape", {"input_format": "NCTHW", "collapse": True})], "FormatShape.collapse"),
        ([RESIZE, CENTER, ("Normalize", {"to_rgb": True})], "Normalize.to_rgb is not understood"),
        ([RESIZE, ("TenCrop", {"crop_size": SIZE})], r"its steps give Views\(clips=1, crops=5, flip=True\)"),
    ],
)
def test_other_pictures_are_refused(steps, said):
    value = sampling("SampleFrames", {"clip_len": 4}, 4, 1, steps)
    with pytest.raises(BundleError, match=said):
        modalities_of({"imgs": value})


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("SampleAVAFrames", {"clip_len": 4}, "the step SampleAVAFrames is not understood"),
        ("SampleFrames", {"clip_len": 4, "temporal_jitter": True}, "SampleFrames.temporal_jitter = True"),
        ("SampleFrames", {"clip_len": 4, "speed": 2}, "SampleFrames.speed is not understood"),
        ("SampleFrames", {"clip_len": 4, "out_of_bound_opt": "stop"}, "SampleFrames.out_of_bound_opt = 'stop'"),
        ("SampleFrames", {"clip_len": 4, "num_clips": 0}, "SampleFrames.num_clips = 0"),
        ("SampleFrames", {"clip_len": 4, "num_clips": True}, "SampleFrames.num_clips = True"),
        ("SampleFrames", {"clip_len": 4, "num_clips": 1 << 15}, "draws 131072 frames"),
        ("SampleFrames", {"clip_len": 4, "num_clips": 2, "twice_sample": True}, "SampleFrames.twice_sample = True"),
        ("SampleFrames", {"clip_len": 1, "num_clips": 6}, "draws 6 frames, which make no clips of 4"),
        ("SampleFrames", {"clip_len": 2, "num_clips": 4}, "SampleFrames.clip_len = 2, and the tensor has 4"),
        ("DenseSampleFrames", {"clip_len": 4, "twice_sample": True}, "DenseSampleFrames.twice_sample"),
    ],
)
def test_other_samplers_are_refused(kind, values, said):
    with pytest.raises(BundleError, match=said):
        modalities_of({"imgs": sampling(kind, values, 4, 1)})


def test_frames_drawn_by_chance_are_refused():
    steps = (Transform("SampleFrames", {"clip_len": 4}), Transform("Resize", {"scale": [SIZE, SIZE]}))
    with pytest.raises(BundleError, match=r"SampleFrames\.test_mode = False"):
        modalities_of({"imgs": Input(InputKind.FRAMES, (BATCH_AXIS, 3, 4, SIZE, SIZE), steps)})


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([("Resize", {"scale": (-1, 12)}), CENTER], "a crop of 16 x 16 pixels in a picture that is resized to 12 x 18"),
        ([RESIZE, ("ThreeCrop", {"crop_size": SIZE})], "three crops of 16 x 16 pixels in a picture"),
    ],
)
def test_pictures_that_the_crops_do_not_fit_are_refused(steps, said):
    video = np.zeros((4, 36, 24, 3), np.uint8)
    crops = 3 if steps[1][0] == "ThreeCrop" else 1
    value = replace(sampling("SampleFrames", {"clip_len": 4}, 4, 1, steps), views=Views(1, crops))
    with pytest.raises(DataError, match=said):
        prepare_clips(video.__getitem__, None, {"imgs": value}, sample_clips(4, {"imgs": value}))
