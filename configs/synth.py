"""A small network for the synthetic set: `x3ddeploy synth synth`, then `x3ddeploy train configs/synth.py`.

Minutes on two CPU cores. Every class can be told apart by one stream at least, some by none but one.
"""

_base_ = ["_base_/two_stream.py", "_base_/training.py", "_base_/data.py"]

# sit, arm, hand to head, counter, wave, star jump
coarse_of = [0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 5]
clip_len = dict(RGB=8, Pose=16)
model = dict(
    rgb_backbone=dict(
        base_channels=16,
        gamma_b=1.5,
        num_stages=2,
        stage_blocks=(2, 4),
        spatial_strides=(2, 2),
        fold_div=4,
    ),
    pose_backbone=dict(
        base_channels=16,
        gamma_b=1.5,
        num_stages=2,
        stage_blocks=(2, 4),
        spatial_strides=(2, 2),
        fold_div=4,
    ),
    cls_head=dict(
        num_classes=12,
        num_coarse_classes=6,
        coarse_of=coarse_of,
        in_channels=[48, 48],
        # Little weight for the groups: they are what a small network learns first, and then does not look beyond.
        loss_weights=[1.0, 1.0, 0.1, 0.1],
        dropout=0.0,
        init_std=0.1,  # with 0.01 the three classes behind the counter are not told apart after so few steps
    ),
)

# No flip: left and right are mirrored in the data already.
train_pipeline = [
    dict(type="MMUniformSampleFrames", clip_len=clip_len, num_clips=1),
    dict(type="MMDecode"),
    dict(type="MMCompact", hw_ratio=1.0, allow_imgpad=True),
    dict(type="Resize", scale=(48, 48), keep_ratio=False),
    dict(type="GeneratePoseTarget", sigma=0.6, use_score=True, with_kp=True, with_limb=False, scaling=1 / 3),
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs", collect_keys=("imgs", "heatmap_imgs")),
]
val_pipeline = [
    dict(type="MMUniformSampleFrames", clip_len=clip_len, num_clips=1, test_mode=True),
    dict(type="MMDecode"),
    dict(type="MMCompact", hw_ratio=1.0, allow_imgpad=True),
    dict(type="Resize", scale=(48, 48), keep_ratio=False),
    dict(type="GeneratePoseTarget", sigma=0.6, use_score=True, with_kp=True, with_limb=False, scaling=1 / 3),
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs", collect_keys=("imgs", "heatmap_imgs")),
]
test_pipeline = val_pipeline

ann_file = "synth/annotations.pkl"
data_prefix = dict(video="synth/videos")
train_dataloader = dict(
    batch_size=16,  # of each process
    num_workers=2,
    dataset=dict(ann_file=ann_file, data_prefix=data_prefix, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=2,
    dataset=dict(ann_file=ann_file, data_prefix=data_prefix, pipeline=val_pipeline),
)
test_dataloader = dict(
    num_workers=2,
    dataset=dict(ann_file=ann_file, data_prefix=data_prefix, pipeline=test_pipeline),
)

max_epochs = 14
warmup_epochs = 1
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
optim_wrapper = dict(optimizer=dict(_delete_=True, type="AdamW", lr=0.008, weight_decay=0.05))
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
