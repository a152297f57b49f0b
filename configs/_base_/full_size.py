"""The full-size two-stream X3D: its parts, how it is tested, the loaders' sizes; joints and classes are its heirs'."""

_base_ = ["two_stream.py", "training.py", "data.py"]

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
    cls_head=dict(in_channels=[432, 216], loss_weights=[1.0, 1.5, 0.6, 1.2], prototype_dim=256, dropout=0.5),
)
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

train_dataloader = dict(num_workers=8)
val_dataloader = dict(batch_size=8, num_workers=8, dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(num_workers=8, dataset=dict(pipeline=test_pipeline))
