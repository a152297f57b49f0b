"""NTU RGB+D 60: 17 COCO joints, 60 classes in 8 groups.

Read as literals, never executed: `x3ddeploy export CKPT --config configs/ntu60.py` takes from it what the
checkpoint does not carry. Depth, widths and classes always come from the weights.
"""

_base_ = ["_base_/two_stream.py", "_base_/training.py", "_base_/data.py"]

# Coarse class of each class: labels 0-9, 10-19, 20-29, 30-39, 40-44, 45-49, 50-54, 55-59.
coarse_of = [
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
    3, 3, 3, 3, 3, 3, 3, 3, 3, 3,
    4, 4, 4, 4, 4, 5, 5, 5, 5, 5,
    6, 6, 6, 6, 6, 7, 7, 7, 7, 7,
]  # fmt: skip
left_kp = [1, 3, 5, 7, 9, 11, 13, 15]
right_kp = [2, 4, 6, 8, 10, 12, 14, 16]
clip_len = dict(RGB=16, Pose=48)
model = dict(
    rgb_backbone=dict(
        gamma_w=1,
        gamma_b=2.25,
        gamma_d=2.2,
        num_stages=4,
        spatial_strides=(2, 2, 2, 2),
        se_style="half",
        se_ratio=1 / 16,
        use_swish=True,
        fold_div=8,
    ),
    pose_backbone=dict(
        gamma_d=1,
        num_stages=3,
        stage_blocks=(5, 11, 7),
        spatial_strides=(2, 2, 2),
        se_ratio=1 / 16,
        use_swish=True,
        fold_div=4,
    ),
    cls_head=dict(
        num_classes=60,
        num_coarse_classes=8,
        in_channels=[432, 216],
        coarse_of=coarse_of,
        loss_weights=[1.0, 1.5, 0.6, 1.2],
        prototype_dim=256,
        dropout=0.5,
    ),
)
train_pipeline = [
    dict(type="MMUniformSampleFrames", clip_len=clip_len, num_clips=1),
    dict(type="MMDecode"),
    dict(type="MMCompact", hw_ratio=1.0, allow_imgpad=True),
    dict(type="Resize", scale=(256, 256), keep_ratio=False),
    dict(type="RandomResizedCrop", area_range=(0.56, 1.0)),
    dict(type="Resize", scale=(224, 224), keep_ratio=False),
    dict(type="Flip", flip_ratio=0.5, left_kp=left_kp, right_kp=right_kp),
    dict(type="GeneratePoseTarget", sigma=0.6, use_score=True, with_kp=True, with_limb=False, scaling=0.25),
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs", collect_keys=("imgs", "heatmap_imgs")),
]
val_pipeline = [
    dict(type="MMUniformSampleFrames", clip_len=clip_len, num_clips=1, test_mode=True),
    dict(type="MMDecode"),
    dict(type="MMCompact", hw_ratio=1.0, allow_imgpad=True),
    dict(type="Resize", scale=(224, 224), keep_ratio=False),
    dict(type="GeneratePoseTarget", sigma=0.6, use_score=True, with_kp=True, with_limb=False, scaling=0.25),
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs", collect_keys=("imgs", "heatmap_imgs")),
]
test_pipeline = val_pipeline

ann_file = "data/skeleton/ntu60_2d.pkl"
data_prefix = dict(video="data/nturgbd_videos")
train_dataloader = dict(
    batch_size=16,  # of each process
    num_workers=8,
    dataset=dict(ann_file=ann_file, data_prefix=data_prefix, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=8,
    dataset=dict(ann_file=ann_file, data_prefix=data_prefix, pipeline=val_pipeline),
)
test_dataloader = dict(
    num_workers=8,
    dataset=dict(ann_file=ann_file, data_prefix=data_prefix, pipeline=test_pipeline),
)
