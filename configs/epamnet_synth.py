"""A small EPAM-Net on the synthetic set: the backbones of synth.py, and pose attention on the RGB features."""

_base_ = ["synth.py"]

backbone = dict(
    base_channels=16,
    gamma_b=1.5,
    num_stages=2,
    stage_blocks=(2, 4),
    spatial_strides=(2, 2),
    fold_div=4,
)
model = dict(
    _delete_=True,
    type="EPAMRecognizer",
    backbone=dict(
        type="EPAMBackbone",
        attention_type="CBAM_spatial_efficient_temporal",
        rgb_backbone=dict(type="X3DTemporalShift", in_channels=3, conv1_stride=2, **backbone),
        pose_backbone=dict(type="X3DTemporalShiftPose", in_channels=17, conv1_stride=1, **backbone),
    ),
    cls_head=dict(
        type="RGBPoseHead",
        num_classes=12,
        in_channels=[48, 48],
        loss_components=["rgb", "pose"],
        average_clips="prob",
        dropout=0.0,
        init_std=0.1,
    ),
    data_preprocessor=dict(
        type="RGBPoseDataPreprocessor",
        preprocessors=dict(
            imgs=dict(
                type="ActionDataPreprocessor",
                mean=[123.675, 116.28, 103.53],
                std=[58.395, 57.12, 57.375],
                format_shape="NCTHW",
            ),
            heatmap_imgs=dict(type="ActionDataPreprocessor"),
        ),
    ),
)

# Heatmaps of half the frames' height and width: with one halving less, the features of both streams are 6 x 6.
heatmaps = dict(type="GeneratePoseTarget", sigma=0.6, use_score=True, with_kp=True, with_limb=False, scaling=0.5)
clip_len = dict(RGB=8, Pose=16)
train_pipeline = [
    dict(type="MMUniformSampleFrames", clip_len=clip_len, num_clips=1),
    dict(type="MMDecode"),
    dict(type="MMCompact", hw_ratio=1.0, allow_imgpad=True),
    dict(type="Resize", scale=(48, 48), keep_ratio=False),
    heatmaps,
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs", collect_keys=("imgs", "heatmap_imgs")),
]
val_pipeline = [
    dict(type="MMUniformSampleFrames", clip_len=clip_len, num_clips=1, test_mode=True),
    dict(type="MMDecode"),
    dict(type="MMCompact", hw_ratio=1.0, allow_imgpad=True),
    dict(type="Resize", scale=(48, 48), keep_ratio=False),
    heatmaps,
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs", collect_keys=("imgs", "heatmap_imgs")),
]
test_pipeline = val_pipeline
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
