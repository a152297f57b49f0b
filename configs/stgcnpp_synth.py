"""A small ST-GCN++ on the synthetic set's skeletons: MMAction2's own classes and transforms.

`x3ddeploy synth synth`, then `x3ddeploy train configs/stgcnpp_synth.py`: minutes on two CPU cores, no video is decoded.
What is told apart by held objects alone (drink, phone_call, eat) no skeleton shows: 83.3 % is the most that can be had.
"""

_base_ = ["_base_/synth_skeletons.py"]

model = dict(
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
