"""Every test pipeline that Python understands gives the same tensors in C++, or is refused there by name."""

import json
import subprocess

import msgspec
import numpy as np
import pytest
from support.contracts import one_input, skeleton_input
from support.cpp_programs import HEIGHT, WIDTH, video_for

from x3ddeploy.contract import Input, InputKind, Transform
from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.prepare import prepare_clips
from x3ddeploy.modalities import needs_frames, sample_clips, with_own_views

# Preparation is the same arithmetic; skeletons are summed in float64 there and in the file's type here.
TOLERANCE = 1e-4
NORMALISE = ("Normalize", {"mean": [100.0, 110.0, 120.0], "std": [50.0, 55.0, 60.0]})


def an_input(kind, shape, *steps):
    value = Input(kind, ("N", *shape), tuple(Transform(type_, parameters) for type_, parameters in steps))
    return with_own_views("x", value)


def frames(shape, *steps):
    return an_input(InputKind.FRAMES, shape, *steps, NORMALISE)


def heatmaps(channels, drawing, *steps):
    compact = ("PoseCompact", {"hw_ratio": 1.0, "allow_imgpad": True})
    sample = ("UniformSampleFrames", {"clip_len": 6, "num_clips": 2, "test_mode": True})
    resize = ("Resize", {"scale": [24, 20], "keep_ratio": False})
    drawn = ("GeneratePoseTarget", {"sigma": 0.8, "use_score": True, **drawing})
    steps = steps or (sample, compact, resize)
    size = next((parameters["crop_size"] for type_, parameters in steps if type_ == "CenterCrop"), (24, 20))
    return an_input(InputKind.HEATMAPS, (channels, 6, size[1], size[0]), *steps, drawn)


def skeleton(feats, shape, dataset="coco", normalise="PreNormalize2D", sampling=None, **formatted):
    sampling = sampling or {"type": "UniformSampleFrames", "clip_len": shape[1], "num_clips": 3, "test_mode": True}
    return skeleton_input(
        [
            {"type": normalise},
            {"type": "GenSkeFeat", "dataset": dataset, "feats": feats},
            sampling,
            {"type": "PoseDecode"},
            {"type": "FormatGCNInput", "num_person": 2, **formatted},
        ],
        shape,
    )


RESIZE = ("Resize", {"scale": [-1, 40]})
UNIFORM = ("UniformSampleFrames", {"clip_len": 4, "num_clips": 2, "test_mode": True})


def sampled(type_, **parameters):
    return (type_, {"test_mode": True, **parameters})


PIPELINES = {
    "crop in the middle": frames((3, 4, 32, 30), UNIFORM, RESIZE, ("CenterCrop", {"crop_size": [30, 32]})),
    "three crops": frames((3, 4, 40, 40), UNIFORM, RESIZE, ("ThreeCrop", {"crop_size": 40})),
    "ten crops of segments": frames(
        (5, 3, 32, 32), sampled("SampleFrames", clip_len=1, num_clips=5), RESIZE, ("TenCrop", {"crop_size": 32})
    ),
    # Of three frames the shape does not tell which axis is theirs: FormatShape does.
    "three segments": frames(
        (3, 3, 32, 32), sampled("SampleFrames", clip_len=1, num_clips=3), RESIZE, ("CenterCrop", {"crop_size": 32}),
        ("FormatShape", {"input_format": "NCHW"}),
    ),
    "clips of three frames": frames(
        (3, 3, 32, 32), sampled("SampleFrames", clip_len=3, num_clips=2), RESIZE, ("CenterCrop", {"crop_size": 32}),
        ("FormatShape", {"input_format": "NCTHW"}),
    ),
    "mirrored": frames((3, 4, 40, 40), UNIFORM, RESIZE, ("CenterCrop", {"crop_size": 40}), ("Flip", {"flip_ratio": 1})),
    "ratio kept inside bounds": frames(
        (3, 4, 24, 24), UNIFORM, ("Resize", {"scale": [60, 36], "keep_ratio": True}), ("CenterCrop", {"crop_size": 24})
    ),
    "clips with intervals": frames(
        (3, 4, 32, 32), sampled("SampleFrames", clip_len=4, frame_interval=3, num_clips=3),
        ("Resize", {"scale": [32, 32], "keep_ratio": False}),
    ),
    "one clip, repeating its last frame": frames(
        (3, 8, 32, 32), sampled("SampleFrames", clip_len=8, frame_interval=4, out_of_bound_opt="repeat_last"),
        ("Resize", {"scale": [32, 32], "keep_ratio": False}),
    ),
    "segments twice": frames(
        (4, 3, 32, 32), sampled("SampleFrames", clip_len=1, num_clips=4, twice_sample=True),
        ("Resize", {"scale": [32, 32], "keep_ratio": False}), ("FormatShape", {"input_format": "NCHW"}),
    ),
    "dense": frames(
        (8, 3, 32, 32), sampled("DenseSampleFrames", clip_len=1, num_clips=8, sample_range=16, num_sample_positions=3),
        ("Resize", {"scale": [32, 32], "keep_ratio": False}),
    ),
    "the same place in each part": frames(
        (3, 4, 32, 32), sampled("UniformSample", clip_len=4, num_clips=2),
        ("Resize", {"scale": [32, 32], "keep_ratio": False}),
    ),
    "persons without heatmaps of whole pictures": heatmaps(
        17, {}, ("UniformSampleFrames", {"clip_len": 6, "test_mode": True}),
        ("Resize", {"scale": [24, 20], "keep_ratio": False}),
    ),
    "joints": heatmaps(17, {}),
    "joints and their mirror image": heatmaps(17, {"double": True}),
    "limbs": heatmaps(17, {"with_kp": False, "with_limb": True, "double": True}),
    "limbs and joints": heatmaps(34, {"with_kp": True, "with_limb": True}),
    "another seed": heatmaps(
        17, {}, ("UniformSampleFrames", {"clip_len": 6, "num_clips": 2, "test_mode": True, "seed": 7}),
        ("Resize", {"scale": [24, 20], "keep_ratio": False}),
    ),
    "heatmaps of the middle": heatmaps(
        17, {}, ("UniformSampleFrames", {"clip_len": 6, "test_mode": True}), ("PoseCompact", {}),
        ("Resize", {"scale": [-1, 24]}), ("CenterCrop", {"crop_size": [20, 16]}),
    ),
    "skeleton: joints": skeleton(["j"], (2, 8, 17, 3)),
    "skeleton: bones and motion": skeleton(["b", "jm", "bm"], (2, 8, 17, 9)),
    "skeleton: the only person again": skeleton(["j"], (2, 8, 17, 3), mode="loop"),
    "skeleton: another seed": skeleton(
        ["j"], (2, 8, 17, 3), sampling={"type": "UniformSampleFrames", "clip_len": 8, "test_mode": True, "seed": 3}
    ),
    "skeleton: padded": skeleton(["jm"], (2, 40, 17, 3), sampling={"type": "PadTo", "length": 40, "mode": "zero"}),
    "skeleton in space": skeleton(["j"], (2, 8, 25, 3), "nturgb+d", "PreNormalize3D"),
    "skeleton in space: bones and motion": skeleton(["b", "bm"], (2, 8, 25, 6), "nturgb+d", "PreNormalize3D"),
}  # fmt: skip
NAMES = {InputKind.FRAMES: "imgs", InputKind.HEATMAPS: "heatmap_imgs", InputKind.SKELETON: "keypoint"}


def manifest_of(value):
    contract = json.loads(msgspec.json.encode(one_input(NAMES[value.kind], value)))
    return {"schema_version": 2, "files": {}, **contract}


def in_python(value, video):
    name = NAMES[value.kind]
    keypoints = video["keypoints"]
    size = None if keypoints.shape[-1] == 3 else (HEIGHT, WIDTH)
    annotation = Annotation("clip", 0, size, keypoints.shape[1], keypoints, video["keypoint_scores"])
    indices = sample_clips(keypoints.shape[1], {name: value})
    read = lambda wanted: (video["frames"][index] for index in wanted)  # noqa: E731
    prepared = prepare_clips(read, annotation, {name: value}, indices)[name]
    return prepared, len(indices[name])


def in_cpp(program, folder, manifest, arrays, clips):
    (folder / "manifest.json").write_text(json.dumps(manifest))
    np.savez(folder / "clip.npz", **arrays)
    command = [program, folder / "manifest.json", folder / "clip.npz", str(clips)]
    return subprocess.run(command, capture_output=True, check=False)


@pytest.mark.parametrize("case", PIPELINES)
def test_a_pipeline_gives_pythons_tensors(cpp_build, tmp_path, case):
    pytest.importorskip("cv2")
    value = PIPELINES[case]
    for seed, count in ((0, 23), (1, 5)):
        video = video_for(value, seed, count, persons=1 + (case != "skeleton: the only person again"))
        expected, clips = in_python(value, video)
        arrays = {**video, "frame_size": np.array([HEIGHT, WIDTH], np.float32)}
        if not needs_frames({"x": value}):
            del arrays["frames"]
        process = in_cpp(cpp_build / "tests" / "x3ddeploy_prepare", tmp_path, manifest_of(value), arrays, clips)
        assert process.returncode == 0, process.stderr.decode()
        actual = np.frombuffer(process.stdout, np.float32)
        assert actual.size == expected.size
        np.testing.assert_allclose(actual, expected.ravel(), atol=TOLERANCE)


REFUSED = {
    "an unknown step": ("joints", lambda steps: steps.insert(1, {"type": "Sharpen", "parameters": {}})),
    "an unknown parameter": ("joints", lambda steps: steps[-1]["parameters"].update(glow=1)),
    "another interpolation": ("three crops", lambda steps: steps[1]["parameters"].update(interpolation="bicubic")),
    "frames by chance": ("clips with intervals", lambda steps: steps[0]["parameters"].update(test_mode=False)),
    "another padding": ("joints", lambda steps: steps[1]["parameters"].update(padding=0.5)),
    "another order": ("three crops", lambda steps: steps.reverse()),
    "frames a second": ("clips with intervals", lambda steps: steps[0]["parameters"].update(target_fps=10)),
    "an unknown skeleton": ("skeleton: joints", lambda steps: steps[1]["parameters"].update(dataset="octopus")),
    "steps of pixels in a skeleton": (
        "skeleton: joints", lambda steps: steps.insert(0, {"type": "Resize", "parameters": {}})
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_understood_is_refused_by_name(cpp_build, tmp_path, case):
    base, change = REFUSED[case]
    value = PIPELINES[base]
    manifest = manifest_of(value)
    change(manifest["inputs"][NAMES[value.kind]]["pipeline"])
    arrays = {**video_for(value, 0), "frame_size": np.array([HEIGHT, WIDTH], np.float32)}
    process = in_cpp(cpp_build / "tests" / "x3ddeploy_prepare", tmp_path, manifest, arrays, 1)
    assert process.returncode == 1, process.stdout[:100]
    assert b"the library cannot do" in process.stderr
