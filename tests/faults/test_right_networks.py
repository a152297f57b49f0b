"""The converse of the fault list: networks that are right pass every gate in every precision, whatever their form."""

from dataclasses import replace

import pytest
from support.faults.micro import SOURCE, SPEC, options

from x3ddeploy.exporting.export import export_bundle
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.randomized import random_network
from x3ddeploy.families.two_stream_x3d.spec import Nonlinearity, StageSpec
from x3ddeploy.loading import Loaded
from x3ddeploy.runtimes.choice import choose
from x3ddeploy.verification import verify_bundle

DEEP = (StageSpec(6, 10, 22, 2, (8, 0) * 3), StageSpec(4, 12, 26, 2, (8,) * 4))
WIDE = (StageSpec(1, 96, 216, 2, (24,)), StageSpec(1, 192, 432, 2, (24,)))


def with_stages(stages, spec=SPEC):
    return replace(spec, rgb=replace(spec.rgb, stages=stages), pose=replace(spec.pose, stages=stages))


def with_squeeze(inner):
    """Squeeze-and-excitation of that width in every block, as `se_style='all'`; 0: in none."""
    return with_stages(tuple(replace(stage, squeeze=(inner,) * stage.blocks) for stage in SPEC.rgb.stages))


def on_small_clips(spec):
    """A published network: its own depth and widths, less to compute."""
    rgb, pose = spec.rgb_input, spec.pose_input
    return replace(
        spec, rgb_input=replace(rgb, frames=3, height=64, width=64),
        pose_input=replace(pose, frames=4, height=16, width=16),
    )  # fmt: skip


SPECS = {
    "small": SPEC,
    "wide": with_stages(WIDE),
    "deep": with_stages(DEEP),
    "tiny": PRESETS["tiny"],
    "ntu60": on_small_clips(PRESETS["ntu60"]),
    "ma52": on_small_clips(PRESETS["ma52"]),
    "plain head": replace(SPEC, head=replace(SPEC.head, coarse_classes=0, prototype_dim=0)),
    "hierarchical head": replace(SPEC, head=replace(SPEC.head, prototype_dim=0)),
    "squeeze everywhere": with_squeeze(8),
    "squeeze nowhere": with_squeeze(0),
    "no activation": replace(SPEC, pose=replace(SPEC.pose, activation=Nonlinearity.NONE)),
}
OPENVINO = pytest.mark.openvino
EVERYWHERE = [
    pytest.param(name, target, seed, marks=[pytest.mark.families, *marks])
    for seed, name in enumerate(SPECS, 5)
    for target, marks in (("tensorrt", ()), ("onnxruntime", ()), ("openvino", (OPENVINO,)))
]


@pytest.mark.parametrize(
    ("form", "target", "seed"),
    [("small", "onnxruntime", 4), pytest.param("wide", "openvino", 4, marks=OPENVINO), *EVERYWHERE],
)
def test_a_right_network_is_exported_quantized_and_verified(form, target, seed, tmp_path, add_lower_precisions):
    loaded = Loaded(random_network(SPECS[form], seed), SOURCE, {}, None, ())
    export_bundle(loaded, tmp_path / "deploy", options(target, preprocess=True), lambda text: None)
    bundle = add_lower_precisions(tmp_path / "deploy")
    runtimes = ["onnxruntime", *(["openvino"] if target == "openvino" else [])]
    report = verify_bundle(bundle, choose(bundle, runtimes), False, None, lambda text: None)
    report.raise_for_failures()
    for precision in ("fp16", "int8"):
        assert any(check.name == f"{precision}: recognizer -> scores" for check in report.checks)
