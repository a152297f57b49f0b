"""A small RGBPoseConv3D on the synthetic set: 8 frames of 64 x 64, 16 heatmaps of 16 x 16, a block a stage."""

_base_ = ["_base_/rgbposeconv3d.py", "_base_/synth_streams.py"]

clip_len = dict(RGB=8, Pose=16)
model = dict(
    backbone=dict(
        speed_ratio=2,
        rgb_pathway=dict(stage_blocks=(1, 1, 1, 1), base_channels=16),
        pose_pathway=dict(stage_blocks=(1, 1, 1), base_channels=8),
    ),
    cls_head=dict(num_classes=12, in_channels=[512, 128], dropout=0.0),
)

train_pipeline = [
    dict(type="MMUniformSampleFrames", clip_len=clip_len, num_clips=1),
    dict(type="MMDecode"),
    dict(type="MMCompact", hw_ratio=1.0, allow_imgpad=True),
    dict(type="Resize", scale=(64, 64), keep_ratio=False),
    dict(type="GeneratePoseTarget", sigma=0.7, use_score=True, with_kp=True, with_limb=False, scaling=0.25),
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs", collect_keys=("imgs", "heatmap_imgs")),
]
val_pipeline = [
    dict(type="MMUniformSampleFrames", clip_len=clip_len, num_clips=1, test_mode=True),
    dict(type="MMDecode"),
    dict(type="MMCompact", hw_ratio=1.0, allow_imgpad=True),
    dict(type="Resize", scale=(64, 64), keep_ratio=False),
    dict(type="GeneratePoseTarget", sigma=0.7, use_score=True, with_kp=True, with_limb=False, scaling=0.25),
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs", collect_keys=("imgs", "heatmap_imgs")),
]
test_pipeline = val_pipeline
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
