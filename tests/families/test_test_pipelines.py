"""A test pipeline whose steps are fewer, more or in another order is refused, or known to give the same clips.

What is skipped silently here is a network that sees other clips in deployment than in its test.
"""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from support.small_recognizers import STGCNPP, posec3d, stgcn, tsn

from x3ddeploy.errors import X3DDeployError
from x3ddeploy.families import family_of
from x3ddeploy.families.base import Wishes
from x3ddeploy.families.mmaction.inputs import frames_input
from x3ddeploy.families.mmaction.training_config import described
from x3ddeploy.modalities import modalities_of

pytest.importorskip("mmaction")
_PACKED = {("dropped", "PackActionInputs"), ("doubled", "PackActionInputs")}
# Name -> config, and the edits that are taken: they change nothing, or make another pipeline that is understood.
CONFIGS: dict[str, tuple[Callable[[], dict[str, Any]], set[tuple[str, str]]]] = {
    "posec3d": (posec3d, {("dropped", "PoseCompact"), *_PACKED}),
    "tsn": (tsn, {("dropped", "DecordInit"), ("doubled", "DecordInit"), *_PACKED}),
    "stgcnpp": (
        lambda: stgcn(STGCNPP),  # whose steps are taken one by one, as they come
        {
            *_PACKED,
            *(("dropped", step) for step in ("PreNormalize2D", "GenSkeFeat")),
            *(("doubled", step) for step in ("PreNormalize2D", "GenSkeFeat", "UniformSampleFrames")),
            *(("hurried", step) for step in ("GenSkeFeat", "UniformSampleFrames", "PackActionInputs")),
        },
    ),
}


def taken(config):
    """Whether clips can be made by the config's test pipeline."""
    family: Any = family_of((), config)  # `inputs` is that of these families' own classes
    if family is None:
        return False
    try:
        said = described(config, "config")
        made = {"imgs": frames_input(said, Wishes(), flat=True, segments=3)} if family.name == "tsn" else None
        modalities_of(made or family.inputs(said, Wishes(), 17 if family.name == "posec3d" else 3))
    except X3DDeployError:
        return False
    return True


def edits(steps):
    """Each step left out, done twice, and done before the one before it."""
    for place, step in enumerate(steps):
        before, after = steps[:place], steps[place + 1 :]
        yield ("dropped", step["type"]), [*before, *after]
        yield ("doubled", step["type"]), [*before, step, step, *after]
        if before:
            yield ("hurried", step["type"]), [*before[:-1], step, before[-1], *after]


@pytest.mark.parametrize("name", CONFIGS)
def test_steps_that_are_missing_doubled_or_in_another_order_are_refused(name):
    make, harmless = CONFIGS[name]
    config = make()
    assert taken(config)
    assert {edit for edit, steps in edits(config["test_pipeline"]) if taken({**config, "test_pipeline": steps})} == (
        harmless
    )


@pytest.mark.parametrize(
    ("step", "key", "value"),
    [
        ("FormatShape", "input_format", "NCTHW"),  # clips of heatmaps would have their time where joints belong
        ("FormatShape", "collapse", True),
        ("GeneratePoseTarget", "sigma", "0.6"),
        ("GeneratePoseTarget", "sigma", float("nan")),
        ("GeneratePoseTarget", "scaling", True),
        ("GeneratePoseTarget", "use_score", "False"),
        ("GeneratePoseTarget", "with_kp", 1),
        ("UniformSampleFrames", "seed", -1),
        ("PoseCompact", "hw_ratio", None),
    ],
)
def test_values_that_a_step_of_heatmaps_cannot_mean_are_refused(step, key, value):
    config = posec3d()
    next(entry for entry in config["test_pipeline"] if entry["type"] == step)[key] = value
    assert not taken(config)


@pytest.mark.parametrize(("key", "value"), [("seed", -1), ("seed", 1 << 40), ("clip_len", 8.0), ("num_clips", 0)])
def test_values_that_a_step_of_skeletons_cannot_mean_are_refused(key, value):
    config = stgcn(STGCNPP)
    next(entry for entry in config["test_pipeline"] if entry["type"] == "UniformSampleFrames")[key] = value
    assert not taken(config)


def test_all_crops_mirrored_alone_are_refused():
    """MMAction2 mirrors the pixels of a crop in their place, and crops share some: it gives neither of both."""
    config = tsn()
    assert config["test_pipeline"][4]["type"] == "TenCrop"
    config["test_pipeline"].insert(5, {"type": "Flip", "flip_ratio": 1})
    assert not taken(config)
    config["test_pipeline"][5]["flip_ratio"] = 0
    assert taken(config)


@pytest.mark.parametrize("step", ["PoseDecode", None, ["Resize"]])
def test_a_step_that_is_no_dict_is_refused(step):
    config = copy.deepcopy(posec3d())
    config["test_pipeline"].insert(2, step)
    assert not taken(config)
