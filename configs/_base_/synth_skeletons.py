"""Skeletons of the synthetic set, 2-D: 16 frames of both persons' joints. No video is decoded."""

_base_ = ["synth_loaders.py"]

model = dict(type="RecognizerGCN")

features = dict(type="GenSkeFeat", dataset="coco", feats=["j"])
train_pipeline = [
    dict(type="PreNormalize2D"),
    features,
    dict(type="UniformSampleFrames", clip_len=16),
    dict(type="PoseDecode"),
    dict(type="FormatGCNInput", num_person=2),
    dict(type="PackActionInputs"),
]
val_pipeline = [
    dict(type="PreNormalize2D"),
    features,
    dict(type="UniformSampleFrames", clip_len=16, num_clips=1, test_mode=True),
    dict(type="PoseDecode"),
    dict(type="FormatGCNInput", num_person=2),
    dict(type="PackActionInputs"),
]
test_pipeline = val_pipeline

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=0.005, weight_decay=0.01))
