"""Loaders of the synthetic set for the networks of one input: 16 clips a batch; who inherits says what a clip is."""

_base_ = ["synth.py"]

dataset = dict(type="PoseDataset", ann_file="synth/annotations.pkl")
train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(**dataset, split="xsub_train"),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**dataset, split="xsub_val", test_mode=True),
)
test_dataloader = val_dataloader
