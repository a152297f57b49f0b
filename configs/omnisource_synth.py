"""A small OmniSource on the synthetic set's clips, and on no images: see slowonly_synth.py."""

_base_ = ["_base_/synth_clips.py"]

model = dict(
    type="RecognizerOmni",
    backbone=dict(type="OmniResNet", layers=[1, 1, 1, 1], pretrain_2d=None),
    cls_head=dict(
        type="OmniHead",
        image_classes=12,
        video_classes=12,
        in_channels=2048,
        average_clips="prob",
    ),
)
