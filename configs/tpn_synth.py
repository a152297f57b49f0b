"""A small TPN on SlowOnly, on the synthetic set's frames; see slowonly_synth.py."""

_base_ = ["_base_/synth_clips.py"]

model = dict(
    backbone=dict(
        type="ResNet3dSlowOnly",
        depth=50,
        pretrained=None,
        lateral=False,
        out_indices=(2, 3),
        base_channels=8,
        stage_blocks=(1, 1, 1, 1),
        conv1_kernel=(1, 7, 7),
        conv1_stride_t=1,
        pool1_stride_t=1,
        inflate=(0, 0, 1, 1),
        norm_eval=False,
    ),
    neck=dict(
        type="TPN",
        in_channels=(128, 256),
        out_channels=128,
        spatial_modulation_cfg=dict(in_channels=(128, 256), out_channels=256),
        temporal_modulation_cfg=dict(downsample_scales=(8, 8)),
        upsample_cfg=dict(scale_factor=(1, 1, 1)),
        downsample_cfg=dict(downsample_scale=(1, 1, 1)),
        level_fusion_cfg=dict(
            in_channels=(128, 128),
            mid_channels=(128, 128),
            out_channels=256,
            downsample_scales=((1, 1, 1), (1, 1, 1)),
        ),
        aux_head_cfg=dict(out_channels=12, loss_weight=0.5),
    ),
    cls_head=dict(
        type="TPNHead",
        num_classes=12,
        in_channels=2048,
        spatial_type="avg",
        consensus=dict(type="AvgConsensus", dim=1),
        dropout_ratio=0.0,
        average_clips="prob",
    ),
)
