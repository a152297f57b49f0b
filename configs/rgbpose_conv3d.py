"""The baseline: RGBPoseConv3D on NTU RGB+D 60 X-Sub, as MMAction2 publishes it (https://arxiv.org/abs/2104.13586).

The network, the data and the schedule are those of MMAction2's own config; hooks and logs are this project's. Starts
from the weights that MMAction2 publishes when `load_from` names them:
https://download.openmmlab.com/mmaction/v1.0/skeleton/posec3d/rgbpose_conv3d/rgbpose_conv3d_init_20230228-09b7684b.pth
"""

_base_ = ["_base_/rgbposeconv3d.py", "_base_/training.py", "_base_/data.py"]

left_kp = [1, 3, 5, 7, 9, 11, 13, 15]
right_kp = [2, 4, 6, 8, 10, 12, 14, 16]
clip_len = dict(RGB=8, Pose=32)
model = dict(
    backbone=dict(
        speed_ratio=4,
        rgb_pathway=dict(base_channels=64),
        pose_pathway=dict(stage_blocks=(4, 6, 3), base_channels=32),
    ),
    cls_head=dict(num_classes=60, in_channels=[2048, 512]),
)
train_pipeline = [
    dict(type="MMUniformSampleFrames", clip_len=clip_len, num_clips=1),
    dict(type="MMDecode"),
    dict(type="MMCompact", hw_ratio=1.0, allow_imgpad=True),
    dict(type="Resize", scale=(256, 256), keep_ratio=False),
    dict(type="RandomResizedCrop", area_range=(0.56, 1.0)),
    dict(type="Resize", scale=(224, 224), keep_ratio=False),
    dict(type="Flip", flip_ratio=0.5, left_kp=left_kp, right_kp=right_kp),
    dict(type="GeneratePoseTarget", sigma=0.7, use_score=True, with_kp=True, with_limb=False, scaling=0.25),
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs", collect_keys=("imgs", "heatmap_imgs")),
]
val_pipeline = [
    dict(type="MMUniformSampleFrames", clip_len=clip_len, num_clips=1, test_mode=True),
    dict(type="MMDecode"),
    dict(type="MMCompact", hw_ratio=1.0, allow_imgpad=True),
    dict(type="Resize", scale=(256, 256), keep_ratio=False),
    dict(type="GeneratePoseTarget", sigma=0.7, use_score=True, with_kp=True, with_limb=False, scaling=0.25),
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs", collect_keys=("imgs", "heatmap_imgs")),
]
test_pipeline = [
    dict(type="MMUniformSampleFrames", clip_len=clip_len, num_clips=10, test_mode=True),
    dict(type="MMDecode"),
    dict(type="MMCompact", hw_ratio=1.0, allow_imgpad=True),
    dict(type="Resize", scale=(256, 256), keep_ratio=False),
    dict(type="GeneratePoseTarget", sigma=0.7, use_score=True, with_kp=True, with_limb=False, scaling=0.25),
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs", collect_keys=("imgs", "heatmap_imgs")),
]

ann_file = "data/skeleton/ntu60_2d.pkl"
data_prefix = dict(video="data/nturgbd_videos")
train_dataloader = dict(
    batch_size=6,  # of each process
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

# For 8 processes of 6 clips.
train_cfg = dict(max_epochs=20)
optim_wrapper = dict(optimizer=dict(lr=0.0075, weight_decay=1e-4))
param_scheduler = [dict(type="MultiStepLR", begin=0, end=20, by_epoch=True, milestones=[12, 16], gamma=0.1)]
sync_bn = None
