"""Each verb at work in a process of its own, as a user starts it; other tests run the command in their own process."""

import importlib.util
import json
import shutil

import numpy as np
import pytest
from support.clip_files import write_clip
from support.pose_graphs import heatmap_model

from x3ddeploy.cli.main import VERBS
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.modalities.synthetic import batch_inputs

FRAMES, SIZE = 8, 48
SMALL = ("--size", f"{SIZE}x{SIZE}", "--frames", str(FRAMES), "--clips-per-class", "2", "--subjects", "2")
BRIEFLY = ("--only", "onnxruntime/fp32", "--scope", "compute", "--threads", "1", "--seconds", "0")
ON_ACTIONS = [
    f"{loader}.dataset.{key}=actions/{value}"
    for loader in ("train_dataloader", "val_dataloader")
    for key, value in (("ann_file", "annotations.pkl"), ("data_prefix.video", "videos"))
]
# verb -> what it needs installed, and its arguments in the folder that is made below
WORK = {
    "quantize": ("onnxruntime", ("deploy", "--fp16", "--json")),
    "build-trt": ("tensorrt_rtx", ("deploy", "--rtx", "--compute-capability", "8.9", "--parts", "head", "--json")),
    "verify": ("onnxruntime", ("deploy", "--json")),
    "inspect": ("onnx", ("deploy", "--json")),
    "bench": ("onnxruntime", ("deploy", *BRIEFLY, "--json", "-o", "timed")),
    "synth": ("cv2", ("more", *SMALL, "--json")),
    "data": ("av", ("check", "actions/annotations.pkl", "--videos", "actions/videos", "--json")),
    "train": (
        "mmaction",
        ("configs/tiny.py", "--work-dir", "run", "--cfg-options", "train_cfg.max_epochs=1", *ON_ACTIONS),
    ),
    "eval": ("onnxruntime", ("deploy", "--data", "clips", "--runtime", "onnxruntime", "--json", "-o", "judged")),
    "predict": ("cv2", ("clip.mp4", "--bundle", "deploy", "--window", str(FRAMES), "--json")),
    "explain": ("cv2", ("clip.mp4", "--bundle", "deploy", "--frames", "0", str(FRAMES), "--json")),
    "pose": ("cv2", ("clip.mp4", "--pose", "pose.onnx", "-o", "found.npz", "--json")),
    "bundle": ("onnx", ("deploy", "--pack", "app.tar", "--json")),
    "triton": ("onnx", ("deploy", "-o", "repository", "--json")),
}
# verb -> the fixture of its finished process, for those that other tests look at, too
FINISHED = {"export": "exported_apart", "doctor": "diagnosed"}
# verb -> the fixture of the folder that it works in
PLACES = {"train": "configured", "data": "configured", "predict": "filmed", "explain": "filmed", "pose": "filmed"}


@pytest.fixture
def folder(checkpoint, bundle, tmp_path):
    """A checkpoint, its bundle, and labelled clips."""
    shutil.copy(checkpoint, tmp_path)
    shutil.copytree(bundle, tmp_path / "deploy")
    (tmp_path / "clips").mkdir()
    write_clip(
        tmp_path / "clips" / "one.npz",
        **batch_inputs(clip_inputs(PRESETS["tiny"]), 1, seed=1),
        label=1,
    )
    return tmp_path


@pytest.fixture
def configured(folder, run, pytestconfig):
    """The same with a training config and its data set."""
    (folder / "configs").symlink_to(pytestconfig.rootpath / "configs")
    assert run("synth", folder / "actions", *SMALL).returncode == 0
    return folder


@pytest.fixture
def filmed(folder):
    """The same with a video, its keypoints, and a pose model."""
    from x3ddeploy.data.synth.video import write_video

    heatmap_model(folder / "pose.onnx")
    random = np.random.default_rng(0)
    write_video(folder / "clip.mp4", random.integers(0, 255, (FRAMES, SIZE, SIZE, 3), np.uint8))
    keypoints = random.uniform(8, SIZE - 8, (1, FRAMES, 17, 2)).astype(np.float32)
    np.savez(folder / "clip.npz", keypoints=keypoints, keypoint_scores=np.ones((1, FRAMES, 17), np.float32))
    return folder


def test_every_verb_is_here():
    assert sorted([*WORK, *FINISHED]) == sorted(VERBS)


@pytest.mark.parametrize("verb", FINISHED)
def test_a_verb_that_others_look_at_works_in_a_process_of_its_own(verb, request):
    finished = request.getfixturevalue(FINISHED[verb])
    process = finished[0] if verb == "export" else finished
    assert process.returncode == 0, process.stderr
    assert isinstance(json.loads(process.stdout), dict)


@pytest.mark.parametrize("verb", WORK)
def test_a_verb_works_in_a_process_of_its_own_and_reports_to_nobody(spawn, verb, request, monkeypatch, tmp_path):
    package, arguments = WORK[verb]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    place = request.getfixturevalue(PLACES.get(verb, "folder"))
    for name in ("ORT_DISABLE_TELEMETRY", "CI"):  # this process has the first from the package
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    process = spawn(verb, *arguments, cwd=place, env={"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")})
    assert process.returncode == 0, process.stderr
    assert not (home / ".cache" / "Microsoft").exists()  # where ONNX Runtime keeps what it is going to send
    if "--json" in arguments:
        assert isinstance(json.loads(process.stdout), dict)
    else:
        assert (place / "run" / "best.pth").is_file()


def test_a_refusal_in_this_process_is_what_a_new_one_says(run, spawn, tmp_path):
    """The two ways to run the command are one: text, exit code and the program's name in the usage."""
    for arguments in (("inspect", "none"), ("inspect",)):
        here, there = run(*arguments, cwd=tmp_path), spawn(*arguments, cwd=tmp_path)
        assert (here.returncode, here.stdout, here.stderr) == (there.returncode, there.stdout, there.stderr)
