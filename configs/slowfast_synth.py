"""A small SlowFast on the synthetic set's frames, 2 of 8 in its slow pathway; see slowonly_synth.py."""

_base_ = ["_base_/synth_clips.py"]

model = dict(
    backbone=dict(
        type="ResNet3dSlowFast",
        pretrained=None,
        resample_rate=4,
        speed_ratio=4,
        channel_ratio=4,
        slow_pathway=dict(
            type="resnet3d",
            depth=50,
            pretrained=None,
            lateral=True,
            base_channels=16,
            stage_blocks=(1, 1, 1, 1),
            conv1_kernel=(1, 7, 7),
            dilations=(1, 1, 1, 1),
            conv1_stride_t=1,
            pool1_stride_t=1,
            inflate=(0, 0, 1, 1),
            norm_eval=False,
        ),
        fast_pathway=dict(
            type="resnet3d",
            depth=50,
            pretrained=None,
            lateral=False,
            base_channels=4,
            stage_blocks=(1, 1, 1, 1),
            conv1_kernel=(5, 7, 7),
            conv1_stride_t=1,
            pool1_stride_t=1,
            norm_eval=False,
        ),
    ),
    cls_head=dict(
        type="SlowFastHead",
        num_classes=12,
        in_channels=640,
        spatial_type="avg",
        dropout_ratio=0.0,
        average_clips="prob",
    ),
)
