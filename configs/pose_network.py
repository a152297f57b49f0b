"""A detector of persons and a pose network for the synthetic figures, as ONNX files, in a minute on two CPU cores.

`x3ddeploy synth people --pictures 2000 --subjects 100`, then `x3ddeploy train configs/pose_network.py`; `predict` takes
both files as `--pose` and `--detector`. Any set in COCO's form of keypoints can be put in the pictures' place.
"""

_base_ = ["_base_/training.py"]

picture, window = (96, 96), (64, 48)
model = dict(type="PersonFinder", picture=picture, window=window, joints=17, channels=(8, 16))

dataset = dict(type="PersonPictures", images="people/images", picture=picture, window=window)
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type="default_collate"),
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(**dataset, ann_file="people/person_keypoints_train.json"),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type="default_collate"),
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**dataset, ann_file="people/person_keypoints_val.json", test_mode=True),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type="FoundMetric")]
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best="found/both", rule="greater"))
custom_hooks = [dict(type="OnnxHook")]

max_epochs = 6
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(_delete_=True, type="AdamW", lr=0.004, weight_decay=0.01))
param_scheduler = [
    dict(type="OneCycleLR", eta_max=0.004, total_steps=max_epochs, by_epoch=True, convert_to_iter_based=True),
]
