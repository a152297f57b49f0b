"""What every two-stream network here is: its classes, the stem's strides, and how frames are normalised."""

model = dict(
    type="RGBPoseX3DRecognizer",
    rgb_backbone=dict(type="X3DTemporalShift", in_channels=3, conv1_stride=2),
    pose_backbone=dict(type="X3DTemporalShiftPose", in_channels=17, conv1_stride=1),
    cls_head=dict(type="RGBPoseHead", loss_components=["rgb", "pose"], average_clips="prob"),
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
