"""A small ST-GCN on the synthetic set's skeletons; see stgcnpp_synth.py."""

_base_ = ["_base_/synth_skeletons.py"]

model = dict(
    backbone=dict(
        type="STGCN",
        graph_cfg=dict(layout="coco", mode="stgcn_spatial"),
        base_channels=24,
        num_stages=4,
        inflate_stages=[3],
        down_stages=[3],
    ),
    cls_head=dict(type="GCNHead", num_classes=12, in_channels=48),
)
