"""A small R(2+1)D on the synthetic set's frames; see slowonly_synth.py."""

_base_ = ["_base_/synth_clips.py"]

model = dict(
    backbone=dict(
        type="ResNet2Plus1d",
        depth=18,
        pretrained=None,
        pretrained2d=False,
        base_channels=16,
        stage_blocks=(1, 1, 1, 1),
        conv_cfg=dict(type="Conv2plus1d"),
        norm_cfg=dict(type="BN3d", requires_grad=True, eps=1e-3),
        conv1_kernel=(3, 7, 7),
        conv1_stride_t=1,
        pool1_stride_t=1,
        inflate=(1, 1, 1, 1),
        spatial_strides=(1, 2, 2, 2),
        temporal_strides=(1, 2, 2, 2),
        zero_init_residual=False,
        norm_eval=False,
    ),
    cls_head=dict(
        type="I3DHead",
        num_classes=12,
        in_channels=128,
        spatial_type="avg",
        dropout_ratio=0.0,
        average_clips="prob",
    ),
)
