"""A small ST-GCN++ on the synthetic set's skeletons: MMAction2's own classes and transforms.

`x3ddeploy synth synth`, then `x3ddeploy train configs/stgcnpp_synth.py`: minutes on two CPU cores, no video is decoded.
What is told apart by held objects alone (drink, phone_call, eat) no skeleton shows: 83.3 % is the most that can be had.
"""

_base_ = ["_base_/training.py"]

model = dict(
    type="RecognizerGCN",
    backbone=dict(
        type="STGCN",
        gcn_adaptive="init",
        gcn_with_res=True,
        tcn_type="mstcn",
        graph_cfg=dict(layout="coco", mode="spatial"),
        base_channels=24,
        num_stages=4,
        inflate_stages=[3],
        down_stages=[3],
    ),
    cls_head=dict(type="GCNHead", num_classes=12, in_channels=48),
)

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

dataset = dict(type="PoseDataset", ann_file="synth/annotations.pkl")
train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(**dataset, split="xsub_train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**dataset, split="xsub_val", pipeline=val_pipeline, test_mode=True),
)
test_dataloader = val_dataloader
# One stream has one accuracy.
default_hooks = dict(checkpoint=dict(save_best="acc/top1"))
custom_hooks = []

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
optim_wrapper = dict(optimizer=dict(_delete_=True, type="AdamW", lr=0.005, weight_decay=0.01))
param_scheduler = [
    dict(type="CosineAnnealingLR", T_max=max_epochs, eta_min=1e-6, by_epoch=True, convert_to_iter_based=True),
]
