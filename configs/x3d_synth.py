"""A small X3D on the synthetic set's frames; see slowonly_synth.py."""

_base_ = ["_base_/synth_clips.py"]

model = dict(
    backbone=dict(type="X3D", gamma_w=0.6, gamma_b=1, gamma_d=0.4),
    cls_head=dict(
        type="X3DHead",
        num_classes=12,
        in_channels=128,
        spatial_type="avg",
        fc1_bias=False,
        dropout_ratio=0.0,
        average_clips="prob",
    ),
)
