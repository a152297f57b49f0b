"""A small 2s-AGCN, its stream of bones, on the synthetic set's skeletons in space: 25 joints, 16 frames.

See stgcnpp_synth.py, which is on skeletons of pictures.
"""

_base_ = ["_base_/synth_skeletons.py"]

model = dict(
    backbone=dict(
        type="AAGCN",
        graph_cfg=dict(layout="nturgb+d", mode="spatial"),
        gcn_attention=False,
        base_channels=24,
        num_stages=4,
        inflate_stages=[3],
        down_stages=[3],
    ),
    cls_head=dict(type="GCNHead", num_classes=12, in_channels=48),
)

features = dict(type="GenSkeFeat", dataset="nturgb+d", feats=["b"])
train_pipeline = [
    dict(type="PreNormalize3D"),
    features,
    dict(type="UniformSampleFrames", clip_len=16),
    dict(type="PoseDecode"),
    dict(type="FormatGCNInput", num_person=2),
    dict(type="PackActionInputs"),
]
val_pipeline = [
    dict(type="PreNormalize3D"),
    features,
    dict(type="UniformSampleFrames", clip_len=16, num_clips=1, test_mode=True),
    dict(type="PoseDecode"),
    dict(type="FormatGCNInput", num_person=2),
    dict(type="PackActionInputs"),
]
test_pipeline = val_pipeline
ann_file = "synth/skeletons.pkl"
train_dataloader = dict(dataset=dict(ann_file=ann_file, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(ann_file=ann_file, pipeline=val_pipeline))
test_dataloader = val_dataloader
