"""RGBPoseConv3D as MMAction2 builds it; its heirs say how wide it is, and how many classes it has."""

model = dict(
    type="MMRecognizer3D",
    backbone=dict(
        type="RGBPoseConv3D",
        channel_ratio=4,
        rgb_pathway=dict(
            num_stages=4,
            lateral=True,
            lateral_infl=1,
            lateral_activate=[0, 0, 1, 1],
            fusion_kernel=7,
            conv1_kernel=(1, 7, 7),
            inflate=(0, 0, 1, 1),
            with_pool2=False,
        ),
        pose_pathway=dict(
            num_stages=3,
            lateral=True,
            lateral_inv=True,
            lateral_infl=16,
            lateral_activate=(0, 1, 1),
            fusion_kernel=7,
            in_channels=17,
            out_indices=(2,),
            conv1_kernel=(1, 7, 7),
            conv1_stride_s=1,
            conv1_stride_t=1,
            pool1_stride_s=1,
            pool1_stride_t=1,
            inflate=(0, 1, 1),
            spatial_strides=(2, 2, 2),
            temporal_strides=(1, 1, 1),
            dilations=(1, 1, 1),
            with_pool2=False,
        ),
    ),
    # With its scope: in this project's own, the name is that of the two-stream X3D's head.
    cls_head=dict(
        type="mmaction.RGBPoseHead",
        loss_components=["rgb", "pose"],
        loss_weights=[1.0, 1.0],
        average_clips="prob",
    ),
    data_preprocessor=dict(
        type="MultiModalDataPreprocessor",
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
