"""The loaders that the training configs share: X-Sub's splits of a PoseDataset with videos."""

train_dataloader = dict(
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="PoseDataset", split="xsub_train"),
)
val_dataloader = dict(
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="PoseDataset", split="xsub_val", test_mode=True),
)
test_dataloader = dict(
    batch_size=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="PoseDataset", split="xsub_val", test_mode=True),
)
