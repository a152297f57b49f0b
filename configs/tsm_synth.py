"""A small TSM on MobileNetV2, on the synthetic set's frames; see slowonly_synth.py."""

_base_ = ["_base_/synth_segments.py"]

model = dict(
    backbone=dict(
        type="MobileNetV2TSM",
        num_segments=8,
        shift_div=8,
        is_shift=True,
        pretrained2d=False,
        widen_factor=0.5,
    ),
    cls_head=dict(
        type="TSMHead",
        num_classes=12,
        in_channels=1280,
        num_segments=8,
        spatial_type="avg",
        consensus=dict(type="AvgConsensus", dim=1),
        dropout_ratio=0.0,
        is_shift=True,
        average_clips="prob",
    ),
)
