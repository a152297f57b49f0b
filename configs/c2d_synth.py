"""A small C2D on the synthetic set's frames; see slowonly_synth.py."""

_base_ = ["_base_/synth_clips.py"]

model = dict(
    backbone=dict(
        type="C2D",
        depth=18,
        norm_eval=False,
        num_stages=2,
        strides=(1, 2),
        dilations=(1, 1),
        out_indices=(1,),
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
