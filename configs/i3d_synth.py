"""A small I3D with a non-local block, on the synthetic set's frames; see slowonly_synth.py."""

_base_ = ["_base_/synth_clips.py"]

model = dict(
    backbone=dict(
        type="ResNet3d",
        pretrained2d=False,
        pretrained=None,
        depth=50,
        base_channels=16,
        stage_blocks=(1, 1, 1, 1),
        conv1_kernel=(5, 7, 7),
        conv1_stride_t=1,
        pool1_stride_t=1,
        inflate=(1, 1, 1, 1),
        non_local=((0,), (1,), (0,), (0,)),
        non_local_cfg=dict(
            sub_sample=True,
            use_scale=False,
            norm_cfg=dict(type="BN3d", requires_grad=True),
            mode="dot_product",
        ),
        zero_init_residual=False,
        norm_eval=False,
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
