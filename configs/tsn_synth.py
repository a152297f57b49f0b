"""A small TSN on the synthetic set's frames: each is seen alone, so no order is learned; see slowonly_synth.py."""

_base_ = ["_base_/synth_segments.py"]

model = dict(
    backbone=dict(
        type="ResNet",
        depth=18,
        norm_eval=False,
        num_stages=2,
        strides=(1, 2),
        dilations=(1, 1),
        out_indices=(1,),
    ),
    cls_head=dict(
        type="TSNHead",
        num_classes=12,
        in_channels=128,
        spatial_type="avg",
        consensus=dict(type="AvgConsensus", dim=1),
        dropout_ratio=0.0,
        average_clips="prob",
    ),
)
