"""A small ir-CSN on the synthetic set's frames; see slowonly_synth.py."""

_base_ = ["_base_/synth_clips.py"]

model = dict(
    backbone=dict(
        type="ResNet3dCSN",
        pretrained2d=False,
        pretrained=None,
        depth=50,
        base_channels=16,
        stage_blocks=(1, 1, 1, 1),
        with_pool2=False,
        conv1_stride_t=1,
        pool1_stride_t=1,
        bottleneck_mode="ir",
        norm_eval=False,
        zero_init_residual=False,
    ),
    cls_head=dict(
        type="I3DHead",
        num_classes=12,
        in_channels=512,
        spatial_type="avg",
        dropout_ratio=0.0,
        average_clips="prob",
    ),
)
