"""MA-52: 28 joints, 52 micro-actions in 7 groups.

Read as literals, never executed: `x3ddeploy export CKPT --config configs/ma52.py` takes from it what the
checkpoint does not carry. Depth, widths and classes always come from the weights.
"""

_base_ = ["_base_/full_size.py"]

# Coarse class of each class: body, head, upper limb, lower limb, body-hand, head-hand, leg-hand.
coarse_of = [
    0, 0, 0, 0, 0,
    1, 1, 1, 1, 1, 1,
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
    3, 3, 3, 3, 3, 3, 3, 3,
    4, 4, 4, 4, 4, 4,
    5, 5, 5, 5, 5, 5, 5, 5, 5, 5,
    6, 6, 6, 6,
]  # fmt: skip
clip_len = dict(RGB=16, Pose=48)
model = dict(
    pose_backbone=dict(in_channels=28),
    cls_head=dict(num_classes=52, num_coarse_classes=7, coarse_of=coarse_of),
)
# No flip: which of the 28 joints are left and right is the annotation's affair.
train_pipeline = [
    dict(type="MMUniformSampleFrames", clip_len=clip_len, num_clips=1),
    dict(type="MMDecode"),
    dict(type="MMCompact", hw_ratio=1.0, allow_imgpad=True),
    dict(type="Resize", scale=(256, 256), keep_ratio=False),
    dict(type="RandomResizedCrop", area_range=(0.56, 1.0)),
    dict(type="Resize", scale=(224, 224), keep_ratio=False),
    dict(type="GeneratePoseTarget", sigma=0.6, use_score=True, with_kp=True, with_limb=False, scaling=0.25),
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs", collect_keys=("imgs", "heatmap_imgs")),
]

ann_file = "data/ma52/ma52.pkl"
data_prefix = dict(video="data/ma52/videos")
train_dataloader = dict(
    batch_size=12,  # of each process
    dataset=dict(ann_file=ann_file, data_prefix=data_prefix, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(ann_file=ann_file, data_prefix=data_prefix))
test_dataloader = dict(dataset=dict(ann_file=ann_file, data_prefix=data_prefix))
