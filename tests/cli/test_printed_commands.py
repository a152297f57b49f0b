"""A command that is printed works when it is pasted, whatever the path is called."""

import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from support.command import command_of

import x3ddeploy
from x3ddeploy.bundle import Bundle
from x3ddeploy.bundle.engine_options import Flavour
from x3ddeploy.calibration.recipe import Recipe
from x3ddeploy.cli.main import VERBS
from x3ddeploy.cli.next_steps import after_predicting, after_quantizing, after_synth
from x3ddeploy.embedding.triton import TritonOptions, write_repository
from x3ddeploy.errors import BundleError
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.modalities.synthetic import batch_inputs
from x3ddeploy.precision.quantize import Quantized
from x3ddeploy.tensorrt.place import build_command
from x3ddeploy.terms import Precision


@pytest.fixture
def odd(bundle, tmp_path):
    """A bundle whose path a shell would take apart."""
    return shutil.copytree(bundle, tmp_path / 'it\'s a $(bundle); & "more"')


def opened_by(command):
    """The path that a pasted command opens; it is parsed as the shell and then the verb would."""
    found = parsed(command)
    given = next(found[key] for key in ("bundle", "checkpoint", "artefact") if key in found)
    return Path(given[0] if isinstance(given, tuple) else given)  # `bench` and `export` take several


def parsed(command):
    """What the verb makes of the words of a pasted command."""
    name, verb, *words = shlex.split(command)
    assert name == "x3ddeploy"
    assert verb in VERBS
    return command_of(verb).make_context(verb, words).params


def next_of(process):
    """Verb -> bundle or checkpoint of each command in the last line of stdout."""
    assert process.returncode == 0, process.stderr
    line = process.stdout.splitlines()[-1]
    assert line.startswith("next: ")
    return {shlex.split(command)[1]: opened_by(command) for command in line.removeprefix("next: ").split("    ")}


def after(text, word):
    (line,) = [line for line in text.splitlines() if line.startswith(word)]
    return line.removeprefix(word).strip()


def test_export_says_what_comes_next(run, checkpoint, tmp_path):
    path = tmp_path / "a 'new' bundle"
    process = run("export", checkpoint, "-o", path)
    assert process.returncode == 0, process.stderr
    assert next_of(process) == {"verify": path, "quantize": path}


@pytest.mark.parametrize("tensorrt", [False, True])
def test_quantize_leads_to_what_judged_to_engines_and_to_time(odd, monkeypatch, tensorrt):
    monkeypatch.setattr("x3ddeploy.cli.next_steps.find_spec", lambda name: tensorrt)
    recipe = Recipe(data="my set.pkl", videos="my videos", min_keypoint_score=0.3)
    made = (SimpleNamespace(precision=Precision.FP16), SimpleNamespace(precision=Precision.INT8))
    made_of = SimpleNamespace(made=made, bundle=Bundle.open(odd), recipe=recipe, judging_split="xsub_val")
    quantized = cast(Quantized, made_of)
    commands = [f"x3ddeploy {command}" for command in after_quantizing(quantized)]
    verbs = ["eval", "build-trt", "bench"] if tensorrt else ["eval", "bench"]
    assert [shlex.split(command)[1] for command in commands] == verbs
    assert {opened_by(command) for command in commands} == {odd}
    asked = parsed(commands[0])
    assert (asked["data_path"], asked["videos"]) == (Path("my set.pkl"), Path("my videos"))
    assert (asked["split"], asked["min_keypoint_score"]) == ("xsub_val", 0.3)
    if tensorrt:
        assert parsed(commands[1])["int8"]
    made_of.judging_split = None  # a folder of clips: `eval` would also take those that calibrated
    assert not any(command.startswith("eval") for command in after_quantizing(quantized))


def test_verify_and_eval_lead_on(run, odd, tmp_path):
    process = run("verify", odd, "--runtime", "onnxruntime")
    assert next_of(process) == {"bench": odd, "predict": odd}
    clips = tmp_path / "clips.pkl"  # a folder may be called as it likes
    clips.mkdir()
    inputs = clip_inputs(PRESETS["tiny"])
    np.savez(clips / "a.npz", label=0, **{name: value[0] for name, value in batch_inputs(inputs, 1, seed=7).items()})
    process = run("eval", odd, "--data", clips, "--runtime", "onnxruntime")
    assert next_of(process) == {"bench": odd}
    process = run("eval", odd, "--data", clips, "--runtime", "onnxruntime", "--json")
    assert "next:" not in process.stdout + process.stderr


def test_predict_leads_to_an_explanation():
    command = after_predicting(
        "my walk.mp4", bundle=Path("a b"), keypoints=None, pose=Path("p.onnx"), min_keypoint_score=0.3
    )
    found = parsed(f"x3ddeploy {command}")
    assert (found["video"], found["bundle"], found["pose"]) == (Path("my walk.mp4"), Path("a b"), Path("p.onnx"))
    assert (found["min_keypoint_score"], found["keypoints"], found["output"]) == (0.3, None, Path("explained.mp4"))


def test_build_trt_leads_to_bench(run, odd, monkeypatch):
    engines = SimpleNamespace(bundle=SimpleNamespace(path=odd))
    monkeypatch.setattr(x3ddeploy, "build_trt", lambda *_, **__: engines, raising=False)
    monkeypatch.setattr("x3ddeploy.cli.build_trt.print_engines", lambda engines: None)
    assert next_of(run("build-trt", odd)) == {"bench": odd}


def test_synth_leads_to_the_training_of_its_own_data(monkeypatch):
    monkeypatch.chdir(Path(x3ddeploy.__file__).parent.parent)
    assert after_synth(Path("synth")) == ["train configs/synth.py"]
    (command,) = after_synth(Path("my actions"))
    options = dict(option.split("=") for option in parsed(f"x3ddeploy {command}")["more_options"])
    assert len(options) == 6
    for key, value in options.items():
        loader, *inner = key.split(".")
        assert loader in ("train_dataloader", "val_dataloader", "test_dataloader")
        assert (inner, value) in (
            (["dataset", "ann_file"], "my actions/annotations.pkl"),
            (["dataset", "data_prefix", "video"], "my actions/videos"),
        )
    monkeypatch.chdir("docs")
    assert after_synth(Path("synth")) == []  # a config that is not here would not run


def test_hints_name_the_bundle(odd):
    bundle = Bundle.open(odd)
    for precision in (Precision.FP32, Precision.FP16, Precision.INT8):
        assert opened_by(build_command(bundle, precision, Flavour.RTX)) == odd
    with pytest.raises(BundleError) as error:
        write_repository(bundle, odd.parent / "repository", TritonOptions(engines="gpu"))
    assert opened_by(error.value.hint.partition("`")[2].removesuffix("`")) == odd
    with pytest.raises(BundleError) as error:
        bundle.part_path("head", "int8")
    assert opened_by(error.value.hint.partition("`")[2].partition("`")[0]) == odd


def test_triton_and_pack_name_what_they_wrote(run, odd):
    repository, archive = odd.parent / "my repository", odd.parent / "my app.tar"
    process = run("triton", odd, "-o", repository)
    assert shlex.split(after(process.stdout, "next:")) == ["tritonserver", f"--model-repository={repository}"]
    process = run("bundle", odd, "--pack", archive)
    words = shlex.split(after(process.stdout, "on the target:"))
    assert words == ["tar", "xf", "my app.tar", "&&", "my app/self_test.sh"]
