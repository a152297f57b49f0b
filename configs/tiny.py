"""The `tiny` preset with the 12 classes of `x3ddeploy synth synth`: every kind of block, seconds an epoch.

To try the commands and for tests; it is too small to learn the classes well (see synth.py).
"""

_base_ = ["_base_/two_stream.py", "_base_/training.py", "_base_/data.py"]

# sit, arm, hand to head, counter, wave, star jump
coarse_of = [0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 5]
clip_len = dict(RGB=4, Pose=6)
model = dict(
    rgb_backbone=dict(
        base_channels=8,
        num_stages=2,
        stage_blocks=(2, 3),
        stage_channels=(10, 16),
        stage_widths=(22, 36),
        out_channels=24,
        spatial_strides=(2, 2),
        fold_div=8,
    ),
    pose_backbone=dict(
        base_channels=8,
        num_stages=2,
        stage_blocks=(2, 2),
        stage_channels=(10, 16),
        stage_widths=(22, 36),
        out_channels=20,
        spatial_strides=(2, 2),
        fold_div=4,
    ),
    cls_head=dict(
        num_classes=12,
        num_coarse_classes=6,
        coarse_of=coarse_of,
        prototype_dim=12,
        in_channels=[24, 20],
        loss_weights=[1.0, 1.5, 0.6, 1.2],
        dropout=0.5,
    ),
)

# No flip: left and right are mirrored in the data already.
train_pipeline = [
    dict(type="MMUniformSampleFrames", clip_len=clip_len, num_clips=1),
    dict(type="MMDecode"),
    dict(type="MMCompact", hw_ratio=1.0, allow_imgpad=True),
    dict(type="Resize", scale=(32, 32), keep_ratio=False),
    dict(type="GeneratePoseTarget", sigma=0.6, use_score=True, with_kp=True, with_limb=False, scaling=0.5),
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs", collect_keys=("imgs", "heatmap_imgs")),
]
val_pipeline = [
    dict(type="MMUniformSampleFrames", clip_len=clip_len, num_clips=1, test_mode=True),
    dict(type="MMDecode"),
    dict(type="MMCompact", hw_ratio=1.0, allow_imgpad=True),
    dict(type="Resize", scale=(32, 32), keep_ratio=False),
    dict(type="GeneratePoseTarget", sigma=0.6, use_score=True, with_kp=True, with_limb=False, scaling=0.5),
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs", collect_keys=("imgs", "heatmap_imgs")),
]
test_pipeline = val_pipeline

ann_file = "synth/annotations.pkl"
data_prefix = dict(video="synth/videos")
train_dataloader = dict(
    batch_size=8,  # of each process
    num_workers=0,
    persistent_workers=False,
    dataset=dict(ann_file=ann_file, data_prefix=data_prefix, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(ann_file=ann_file, data_prefix=data_prefix, pipeline=val_pipeline),
)
test_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(ann_file=ann_file, data_prefix=data_prefix, pipeline=test_pipeline),
)

max_epochs = 2
warmup_epochs = 1
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=0.012))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, begin=0, end=warmup_epochs, by_epoch=True, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingLR",
        T_max=max_epochs - warmup_epochs,
        eta_min=1e-6,
        begin=warmup_epochs,
        end=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
