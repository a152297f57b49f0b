"""Frames of the synthetic set for 3-D networks: one clip of 8 frames from the whole video, 48 x 48."""

_base_ = ["synth_loaders.py"]

model = dict(
    type="Recognizer3D",
    data_preprocessor=dict(
        type="ActionDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape="NCTHW",
    ),
)

# No flip: left and right are mirrored in the data already.
train_pipeline = [
    dict(type="PyAVInit"),
    dict(type="UniformSample", clip_len=8, num_clips=1),
    dict(type="PyAVDecode"),
    dict(type="Resize", scale=(48, 48), keep_ratio=False),
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs"),
]
val_pipeline = [
    dict(type="PyAVInit"),
    dict(type="UniformSample", clip_len=8, num_clips=1, test_mode=True),
    dict(type="PyAVDecode"),
    dict(type="Resize", scale=(48, 48), keep_ratio=False),
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs"),
]
test_pipeline = val_pipeline

train_dataloader = dict(dataset=dict(data_prefix=dict(video="synth/videos"), pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_prefix=dict(video="synth/videos"), pipeline=val_pipeline))
test_dataloader = val_dataloader
