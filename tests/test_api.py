"""The verbs as functions: what they are called, that naming them is cheap, and that the command line adds no work."""

import ast
import inspect
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from support.command import command_of
from support.present import all_of

import x3ddeploy
from x3ddeploy.bundle import Bundle
from x3ddeploy.cli.main import VERBS
from x3ddeploy.data.synth.video import write_video
from x3ddeploy.errors import BundleError, DataError, UsageError, X3DDeployError
from x3ddeploy.prediction.predict import Prediction

PACKAGE = Path(x3ddeploy.__file__).parent
# Verb -> the public name that does its work.
FUNCTIONS = {verb: verb.replace("-", "_") for verb in VERBS} | {
    "eval": "evaluate",
    "bundle": "pack",
    "data": "check_data",
    "pose": "estimate_poses",
    "doctor": "examine",
}


def test_importing_the_package_imports_nothing_else():
    code = (
        "import sys; before = set(sys.modules); import x3ddeploy; "
        "print(sorted(name for name in set(sys.modules) - before if not name.startswith(('x3ddeploy', '__future__'))), "
        "sorted(name for name in sys.modules if name.startswith('x3ddeploy')))"
    )
    result = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    foreign, own = map(ast.literal_eval, result.stdout.strip().replace("] [", "]\n[").splitlines())
    assert own == ["x3ddeploy"]
    assert not {name.partition(".")[0] for name in foreign} - set(sys.stdlib_module_names)


def test_every_public_name_is_there_and_documented():
    page = (PACKAGE.parent / "docs" / "python.md").read_text()
    for name in x3ddeploy._PUBLIC:
        assert getattr(x3ddeploy, name).__doc__, name
        assert f"`{name}(" in page or f"`{name}`" in page, name
    assert set(x3ddeploy._PUBLIC) < set(dir(x3ddeploy))
    with pytest.raises(AttributeError, match="no attribute 'exprt'"):
        x3ddeploy.exprt  # noqa: B018


def test_type_checkers_see_the_same_names():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert {alias.name: node.module for node in imports for alias in node.names} == x3ddeploy._PUBLIC
    assert (PACKAGE / "py.typed").is_file()


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_calls_its_function_and_imports_no_stage(verb):
    """Types aside: what it shows, it was given."""
    path = PACKAGE / "cli" / f"{verb.replace('-', '_')}.py"
    tree = ast.parse(path.read_text())
    called = {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "x3ddeploy"
    }
    assert FUNCTIONS[verb] in called


@pytest.mark.parametrize("verb", VERBS)
def test_options_have_the_names_that_the_function_has(verb):
    """An option that is called otherwise would have to be looked up twice."""
    otherwise = {"as_json", "verify_tol", "trust_checkpoint", "videos", "compare", "unlike", "threshold"}
    otherwise |= {"pose", "detector", "pose_pixels", "detector_pixels", "seconds", "raw", "watch"}  # of others
    words = {
        "data_path": "data", "capabilities": "compute_capabilities", "workspace": "workspace_mib",
        "fp16": "precision", "bf16": "precision", "int8": "precision", "more_options": "cfg_options",
        "artefact": "path",
    }  # fmt: skip
    function = getattr(x3ddeploy, FUNCTIONS[verb])
    takes = set(inspect.signature(function).parameters)
    if verb == "pose":
        takes |= set(inspect.signature(x3ddeploy.PoseEstimator).parameters)
    if verb == "synth":  # --pictures is that function's
        takes |= set(inspect.signature(x3ddeploy.synth_pictures).parameters)
    if verb == "export":  # its further steps are those functions'
        takes |= {*inspect.signature(x3ddeploy.quantize).parameters, *inspect.signature(x3ddeploy.build_trt).parameters}
        otherwise.add("trt")
    if verb in ("export", "quantize"):
        words |= dict.fromkeys(("fp16", "bf16", "int8"), "precisions")
    options = {parameter.name for parameter in command_of(verb).params}
    assert {words.get(name, name) for name in options - otherwise} <= takes


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Twelve frames with somebody in them."""
    folder = tmp_path_factory.mktemp("videos")
    random = np.random.default_rng(0)
    write_video(folder / "a.mp4", random.integers(0, 255, (12, 48, 48, 3), np.uint8))
    keypoints = random.uniform(8, 40, (1, 12, 17, 2)).astype(np.float32)
    np.savez(folder / "a.npz", keypoints=keypoints, keypoint_scores=np.ones((1, 12, 17), np.float32))
    return folder / "a.mp4"


def test_an_opened_bundle_names_its_tensors_and_classes(bundle):
    with x3ddeploy.open(str(bundle)) as recognizer:
        assert recognizer.inputs == {"imgs": (None, 3, 4, 32, 32), "heatmap_imgs": (None, 17, 6, 16, 16)}
        assert "scores" in recognizer.outputs
        assert recognizer.labels[2] == "class 2"
        assert recognizer.contract.deployed == "fused"


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_clips_give_what_pytorch_gave_at_export(bundle, runtime):
    golden = {path.stem: np.load(path) for path in (bundle / "golden").glob("*.npy")}
    with x3ddeploy.open(bundle, runtime=runtime) as recognizer:
        outputs = recognizer.predict_clips({name: golden[name] for name in recognizer.inputs})
    assert set(outputs) == set(recognizer.outputs)
    np.testing.assert_allclose(outputs["scores"], golden["scores"], atol=1e-5)


def test_predict_gives_a_prediction_a_window(bundle, video, tmp_path):
    with x3ddeploy.open(bundle) as recognizer:
        whole = recognizer.predict(str(video))
        found = recognizer.predict(video, video.with_suffix(".npz"), window=6, stride=4)
        assert [(item.window.start, item.window.end) for item in found] == [(0, 6), (4, 10), (6, 12)]
        assert whole[0].label == recognizer.labels[int(whole[0].deployed.argmax())]
        several = all_of(Prediction, recognizer.predict_videos([video, video], on_error="skip"))
        assert [item.label for item in several] == [whole[0].label] * 2
        with pytest.raises(DataError, match="no keypoints"):
            recognizer.predict(shutil.copy(video, tmp_path / "lonely.mp4"))


def test_a_closed_recognizer_cannot_run(bundle):
    with x3ddeploy.open(bundle) as recognizer:
        pass
    recognizer.close()
    with pytest.raises(X3DDeployError, match="closed"):
        recognizer.predict_clips({})


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        ({"runtime": "onnxruntme"}, UsageError, "one of: torch, onnxruntime"),
        ({"precision": "fp8"}, UsageError, "one of: fp32, fp16, bf16, int8"),
        ({"runtime": "torch", "precision": "fp16"}, UsageError, "float32 only"),
        ({"device": "gpu"}, UsageError, "no device 'gpu'"),
        ({"precision": "int8"}, BundleError, "quantize"),
    ],
)
def test_what_cannot_be_opened_is_an_error_that_says_what_can(bundle, words, kind, said):
    with pytest.raises(kind) as error:
        x3ddeploy.open(bundle, **words)
    assert said in str(error.value)


def test_steps_go_to_any_function_and_nothing_is_printed(bundle, capsys):
    steps: list[str] = []
    verification = x3ddeploy.verify(bundle, runtimes=["onnxruntime"], progress=steps.append)
    verification.raise_for_failures()
    assert verification.checks
    assert any("onnxruntime" in step for step in steps)
    x3ddeploy.verify(bundle, runtimes=["onnxruntime"])
    assert capsys.readouterr() == ("", "")


def test_export_takes_class_names_as_they_are(checkpoint, tmp_path):
    names = ["sit", "stand", "wave", "nod", "clap", "jump"]
    exported = x3ddeploy.export(checkpoint, tmp_path / "deploy", target="onnxruntime", labels=names)
    assert Bundle.open(tmp_path / "deploy").labels() == names
    assert exported.bundle.manifest.target == "onnxruntime"
    with pytest.raises(UsageError, match="no target named 'tflite'"):
        x3ddeploy.export(checkpoint, tmp_path / "other", target="tflite")


def test_a_bench_report_of_a_bundle_and_its_files(bundle, tmp_path):
    alone = partial(x3ddeploy.bench, bundle, only=["onnxruntime/fp32"], scopes=["compute"], seconds=0, threads=1)
    benchmark = alone(output=tmp_path / "reports.v2")
    with pytest.raises(UsageError, match="names a file"):
        alone(output=tmp_path / "report.html")
    assert [path.name for path in benchmark.files] == ["bench.json", "report.html", "report.md"]
    benchmark.raise_for_failures()
    comparison = x3ddeploy.compare_benchmarks(*benchmark.files[:1] * 2)
    assert [change.verdict for change in comparison.changes] == ["same"]


def test_errors_are_of_one_family(tmp_path):
    with pytest.raises(X3DDeployError):
        x3ddeploy.inspect(tmp_path / "nothing.pth")
