"""How networks of frames and heatmaps are trained on the synthetic set: AdamW, 14 epochs; heirs say what is fed."""

_base_ = ["training.py", "data.py"]

ann_file = "synth/annotations.pkl"
data_prefix = dict(video="synth/videos")
train_dataloader = dict(
    batch_size=16,  # of each process
    num_workers=2,
    dataset=dict(ann_file=ann_file, data_prefix=data_prefix),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=2,
    dataset=dict(ann_file=ann_file, data_prefix=data_prefix),
)
test_dataloader = dict(
    num_workers=2,
    dataset=dict(ann_file=ann_file, data_prefix=data_prefix),
)

max_epochs = 14
warmup_epochs = 1
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
optim_wrapper = dict(optimizer=dict(_delete_=True, type="AdamW", lr=0.008, weight_decay=0.05))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, begin=0, end=warmup_epochs, by_epoch=True, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingLR",
        T_max=max_epochs - warmup_epochs,
        eta_min=1e-6,
        begin=warmup_epochs,
        end=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
