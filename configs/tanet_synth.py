"""A small TANet on the synthetic set's frames; see slowonly_synth.py."""

_base_ = ["_base_/synth_segments.py"]

model = dict(
    backbone=dict(
        type="TANet",
        depth=50,
        norm_eval=False,
        num_segments=8,
        tam_cfg=None,
        num_stages=2,
        strides=(1, 2),
        dilations=(1, 1),
        out_indices=(1,),
    ),
    cls_head=dict(
        type="TSMHead",
        num_classes=12,
        in_channels=512,
        num_segments=8,
        spatial_type="avg",
        consensus=dict(type="AvgConsensus", dim=1),
        dropout_ratio=0.0,
        average_clips="prob",
    ),
)
