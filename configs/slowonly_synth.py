"""A small SlowOnly on the synthetic set's frames: MMAction2's own classes and transforms.

`x3ddeploy synth synth`, then `x3ddeploy train configs/slowonly_synth.py`: minutes on two CPU cores. What is told
apart by keypoints behind the counter alone (kick_sideways, lift_knee, stand_still) no frame shows: 83.3 % is the most
that can be had.
"""

_base_ = ["_base_/synth_clips.py"]

model = dict(
    backbone=dict(
        type="ResNet3dSlowOnly",
        depth=50,
        pretrained=None,
        lateral=False,
        base_channels=16,
        stage_blocks=(1, 1, 1, 1),
        conv1_kernel=(1, 7, 7),
        conv1_stride_t=1,
        pool1_stride_t=1,
        inflate=(0, 0, 1, 1),
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
