"""C3D on the synthetic set's frames; see slowonly_synth.py.

MMAction2's class fixes its widths, of 46 million parameters at the least: small is what it sees, 16 frames of 32 x 32.
BatchNorm, which the class takes, has it learn from scratch in minutes.
"""

_base_ = ["_base_/synth_clips.py"]

model = dict(
    backbone=dict(
        type="C3D",
        norm_cfg=dict(type="BN3d", requires_grad=True),
        out_dim=2048,  # 512 channels, 1 x 2 x 2
        dropout_ratio=0.2,
    ),
    cls_head=dict(
        type="I3DHead",
        num_classes=12,
        in_channels=4096,
        spatial_type=None,
        dropout_ratio=0.0,
        average_clips="prob",
    ),
)

train_pipeline = [
    dict(type="PyAVInit"),
    dict(type="UniformSample", clip_len=16, num_clips=1),
    dict(type="PyAVDecode"),
    dict(type="Resize", scale=(32, 32), keep_ratio=False),
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs"),
]
val_pipeline = [
    dict(type="PyAVInit"),
    dict(type="UniformSample", clip_len=16, num_clips=1, test_mode=True),
    dict(type="PyAVDecode"),
    dict(type="Resize", scale=(32, 32), keep_ratio=False),
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs"),
]
test_pipeline = val_pipeline

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=0.0005))
