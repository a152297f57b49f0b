"""`x3ddeploy eval`: the tables and the files say the same, and what was left out is said."""

import json
import pickle

import pytest
from support.clip_files import write_clip
from support.documents import of_its_type

from x3ddeploy.cli.main import main
from x3ddeploy.data.synth import SynthOptions, generate
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.modalities.synthetic import batch_inputs

LABELS = [0, 1, 2, 3, 4, 5]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "clips"
    folder.mkdir()
    for index, label in enumerate(LABELS):
        arrays = batch_inputs(clip_inputs(PRESETS["tiny"]), 1, seed=index)
        write_clip(folder / f"clip{index}.npz", label=label, **arrays)
    return folder


def test_the_report_is_printed_and_written_with_plots(run, bundle, clips, tmp_path):
    output = tmp_path / "results" / "eval"
    process = run("eval", bundle, "--data", clips, "--runtime", "onnxruntime", "-o", output, "--plot", "svg")
    assert process.returncode == 0, process.stderr
    report = of_its_type("eval", (output / "eval.json").read_text())
    assert report["schema_version"] == 1
    names = {"eval.json", "confusion_torch_fp32.svg", "confusion_onnxruntime_fp32.svg"}
    assert {path.name for path in output.iterdir()} == names
    for name in names:
        assert name in process.stdout
    for scores in ("rgb", "pose", "fused 1:1 (deployed)", "fused 2:1", "fused 1:2"):
        assert process.stdout.count(f"  {scores}  ") >= 2, process.stdout
    top1 = report["results"][0]["scores"]["fused 1:1"]["top1"]
    assert f"{top1:.2%}" in process.stdout
    assert f"({report['loading']['waiting_share']:.0%}, 2 workers)" in process.stdout
    assert "6 videos of 1 clip, 0 skipped" in process.stdout
    assert "\x1b" not in process.stdout + process.stderr  # no colours, no bar


def test_json_is_one_document_equal_to_the_file(run, bundle, clips, tmp_path):
    process = run(
        "eval", bundle, "--data", clips, "--runtime", "torch", "--limit", 3, "--json", "-o", tmp_path / "eval"
    )
    assert process.returncode == 0, process.stderr
    report = json.loads(process.stdout)
    assert report == json.loads((tmp_path / "eval" / "eval.json").read_text())
    assert (report["videos"], report["limit"]) == (3, 3)
    assert [result["runtime"] for result in report["results"]] == ["torch"]


def test_what_changed_since_an_earlier_evaluation_is_said(run, bundle, clips, tmp_path):
    first = run("eval", bundle, "--data", clips, "--runtime", "onnxruntime", "-o", tmp_path / "first")
    assert first.returncode == 0, first.stderr
    earlier = tmp_path / "first" / "eval.json"
    report = json.loads(earlier.read_text())
    torch, onnxruntime = report["results"]
    torch["precision"] = "of another kind"
    scores = onnxruntime["scores"]["fused 1:1"]
    scores["top1"] = scores["top1"] + (0.25 if scores["top1"] < 0.5 else -0.25)
    scores["by_class"][3] = 1 - scores["by_class"][3]
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(report))
    options = ("--data", clips, "--runtime", "onnxruntime", "-o", tmp_path / "second")
    process = run("eval", bundle, *options, "--against", changed)
    assert process.returncode == 0, process.stderr
    against = of_its_type("eval", (tmp_path / "second" / "eval.json").read_text())["against"]
    assert (against["path"], against["runtime"]) == (str(changed), "onnxruntime")
    now = against["after"]["fused 1:1"]["top1"]
    assert against["before"]["fused 1:1"]["top1"] == scores["top1"]
    line = next(line for line in process.stdout.splitlines() if "fused 1:1 (deployed)" in line and "+-" not in line
                and f"{100 * (now - scores['top1']):+.2f}" in line)  # fmt: skip
    assert f"{scores['top1']:.2%}" in line
    assert sum(", fused 1:1  " in line for line in process.stdout.splitlines()) == 1  # one class changed
    for wrong, told in (
        ({"classes": []}, "and these are 6, or of other classes"),
        ({"results": [torch]}, "none of these runtimes"),
        ({"schema_version": 7}, "schema version 7"),
    ):
        changed.write_text(json.dumps({**report, **wrong}))
        with pytest.raises(UsageError, match=told):
            evaluate(bundle, *options, "--against", changed)
    with pytest.raises(UsageError, match="cannot read"):
        evaluate(bundle, *options, "--against", tmp_path / "absent.json")


def evaluate(*arguments):
    """In this process, for what fails early: a new one takes seconds to start."""
    main(["eval", *map(str, arguments)], standalone_mode=False)


def test_a_plot_without_a_folder_is_refused_before_any_work(bundle, clips, capsys):
    with pytest.raises(UsageError, match="no folder") as caught:
        evaluate(bundle, "--data", clips, "--plot", "png")
    assert "-o" in caught.value.hint
    assert "evaluating" not in capsys.readouterr().err


def test_unlabelled_clips_are_a_clear_error(bundle, tmp_path):
    write_clip(tmp_path / "a.npz", **batch_inputs(clip_inputs(PRESETS["tiny"]), 1, seed=0))
    with pytest.raises(DataError, match="have no label"):
        evaluate(bundle, "--data", tmp_path)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A synthetic data set of the classes that the tiny network has, with a video that is cut short."""
    folder = tmp_path_factory.mktemp("synth") / "actions"
    options = SynthOptions(seed=1, size=(32, 32), frames=8, clips_per_class=2, subjects=2)
    generate(folder, options, lambda done, total: None)
    file = folder / "annotations.pkl"
    content = pickle.loads(file.read_bytes())
    content["annotations"] = [entry for entry in content["annotations"] if entry["label"] < 6]
    names = [entry["frame_dir"] for entry in content["annotations"]]
    content["split"] = {"all": names}
    file.write_bytes(pickle.dumps(content, protocol=4))
    broken = folder / "videos" / f"{names[2]}.mp4"
    broken.write_bytes(broken.read_bytes()[:600])
    (folder / "videos" / f"{names[5]}.mp4").unlink()
    return folder, names


def test_a_damaged_video_ends_the_run_by_its_name(bundle, videos, tmp_path):
    folder, names = videos
    with pytest.raises(DataError, match=rf"{names[2]}\.mp4"):
        evaluate(bundle, "--data", folder, "--runtime", "onnxruntime", "-o", tmp_path)
    assert not (tmp_path / "eval.json").exists()


def test_damaged_and_missing_videos_are_skipped_by_name_where_asked(run, bundle, videos, tmp_path):
    folder, names = videos
    process = run(
        "eval", bundle, "--data", folder, "--runtime", "onnxruntime", "-o", tmp_path, "--on-error", "skip",
        "--num-clips", 2,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    report = json.loads((tmp_path / "eval.json").read_text())
    assert [entry["name"] for entry in report["skipped"]["videos"]] == [names[2], names[5]]
    assert (report["videos"], report["skipped"]["count"], report["num_clips"]) == (10, 2, 2)
    assert f"skipped: {names[5]}: there is no video" in process.stdout
    assert report["results"][1]["against_reference"]["rgb"]["agreement"] == 1
