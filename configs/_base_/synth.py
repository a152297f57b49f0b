"""How a small recognizer of one stream is trained on the synthetic set: AdamW, a dozen epochs, best top-1 kept."""

_base_ = ["training.py"]

max_epochs = 12
warmup_epochs = 1
train_cfg = dict(max_epochs=max_epochs, val_interval=3)
optim_wrapper = dict(optimizer=dict(_delete_=True, type="AdamW", lr=0.004, weight_decay=0.05))
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
default_hooks = dict(checkpoint=dict(save_best="acc/top1"))
custom_hooks = []
