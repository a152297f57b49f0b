"""NTU RGB+D 60: 17 COCO joints, 60 classes in 8 groups.

Read as literals, never executed: `x3ddeploy export CKPT --config configs/ntu60.py` takes from it what the
checkpoint does not carry. Depth, widths and classes always come from the weights.
"""

_base_ = ["_base_/full_size.py"]

# Coarse class of each class: labels 0-9, 10-19, 20-29, 30-39, 40-44, 45-49, 50-54, 55-59.
coarse_of = [
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
    3, 3, 3, 3, 3, 3, 3, 3, 3, 3,
    4, 4, 4, 4, 4, 5, 5, 5, 5, 5,
    6, 6, 6, 6, 6, 7, 7, 7, 7, 7,
]  # fmt: skip
left_kp = [1, 3, 5, 7, 9, 11, 13, 15]
right_kp = [2, 4, 6, 8, 10, 12, 14, 16]
clip_len = dict(RGB=16, Pose=48)
model = dict(
    cls_head=dict(num_classes=60, num_coarse_classes=8, coarse_of=coarse_of),
)
train_pipeline = [
    dict(type="MMUniformSampleFrames", clip_len=clip_len, num_clips=1),
    dict(type="MMDecode"),
    dict(type="MMCompact", hw_ratio=1.0, allow_imgpad=True),
    dict(type="Resize", scale=(256, 256), keep_ratio=False),
    dict(type="RandomResizedCrop", area_range=(0.56, 1.0)),
    dict(type="Resize", scale=(224, 224), keep_ratio=False),
    dict(type="Flip", flip_ratio=0.5, left_kp=left_kp, right_kp=right_kp),
    dict(type="GeneratePoseTarget", sigma=0.6, use_score=True, with_kp=True, with_limb=False, scaling=0.25),
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs", collect_keys=("imgs", "heatmap_imgs")),
]

ann_file = "data/skeleton/ntu60_2d.pkl"
data_prefix = dict(video="data/nturgbd_videos")
train_dataloader = dict(
    batch_size=16,  # of each process
    dataset=dict(ann_file=ann_file, data_prefix=data_prefix, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(ann_file=ann_file, data_prefix=data_prefix))
test_dataloader = dict(dataset=dict(ann_file=ann_file, data_prefix=data_prefix))
