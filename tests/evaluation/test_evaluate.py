"""The numbers of an evaluation are those of the network on the clips, whatever the batch, the runtime and the order."""

import json
import shutil

import numpy as np
import pytest
import torch
from support.batches import fixed_to
from support.clip_files import write_clip
from support.present import present

from x3ddeploy.atomic import json_bytes
from x3ddeploy.bundle import Bundle
from x3ddeploy.data.sources import open_source
from x3ddeploy.errors import BundleError, DataError, GateError, UsageError
from x3ddeploy.evaluation.evaluate import Loading, evaluate
from x3ddeploy.evaluation.report import eval_report
from x3ddeploy.evaluation.scores import Scorer, reported_scores
from x3ddeploy.families.two_stream_x3d.contract import two_stream_contract
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.modalities.synthetic import batch_inputs
from x3ddeploy.probabilities import softmax
from x3ddeploy.runtimes import base
from x3ddeploy.runtimes.registry import REFERENCE, Execution, open_part
from x3ddeploy.terms import Precision

TINY = PRESETS["tiny"]
CONTRACT = two_stream_contract(TINY, (1, 1), None, {})
LABELS = [0, 1, 2, 3, 4, 0, 1, 2, 0]  # class 5 has no video
CLIPS = 2
ORT = Execution("onnxruntime", "cpu", Precision.FP32)


def quiet(done, total):
    pass


def write_clips(folder, labels, clips=CLIPS):
    folder.mkdir()
    for index, label in enumerate(labels):
        arrays = batch_inputs(CONTRACT.inputs, clips, seed=index)
        arrays |= {} if label is None else {"label": np.array(label)}
        write_clip(folder / f"clip{index}.npz", **arrays)
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("data") / "clips", LABELS)


@pytest.fixture(scope="module")
def source(clips):
    return open_source(clips, CONTRACT, clips=CLIPS)


@pytest.fixture(scope="module")
def opened(bundle):
    return Bundle.open(bundle)


@pytest.fixture(scope="module")
def by_hand(tiny_network, source):
    """(videos, classes) by logits: softmax of the network's logits, then the mean over the clips."""
    rgb, pose = [], []
    for index in range(len(source)):
        inputs = {name: torch.from_numpy(value) for name, value in source.load(index).inputs.items()}
        with torch.inference_mode():
            outputs = tiny_network(**inputs)
        rgb.append(sum(row.softmax(0) for row in outputs["rgb_logits"].double()) / CLIPS)
        pose.append(sum(row.softmax(0) for row in outputs["pose_logits"].double()) / CLIPS)
    return {"rgb_logits": torch.stack(rgb).numpy(), "pose_logits": torch.stack(pose).numpy()}


@pytest.fixture(scope="module")
def evaluation(opened, source):
    return evaluate(opened, source, [REFERENCE, ORT], Loading(), quiet)


@pytest.mark.parametrize("outcome", [0, 1], ids=["torch", "onnxruntime"])
def test_scores_are_the_networks_averaged_as_probabilities(evaluation, by_hand, outcome):
    for logits, scores in evaluation.outcomes[outcome].scores.by_logits.items():
        np.testing.assert_allclose(scores, by_hand[logits], atol=1e-5)  # float32 sums of another order


def test_accuracies_are_those_counted_by_hand(opened, source, evaluation, by_hand):
    report = eval_report(opened, source, evaluation, Loading(), CLIPS, [])
    weights = {"rgb": (1, 0), "pose": (0, 1), "fused 1:1": (0.5, 0.5), "fused 2:1": (2 / 3, 1 / 3)}
    weights["fused 1:2"] = (1 / 3, 2 / 3)
    for name, (rgb, pose) in weights.items():
        fused = rgb * by_hand["rgb_logits"] + pose * by_hand["pose_logits"]
        ranking = [sorted(range(6), key=lambda c: -row[c]) for row in fused]
        right = [classes[0] == label for classes, label in zip(ranking, LABELS, strict=True)]
        among_five = [label in classes[:5] for classes, label in zip(ranking, LABELS, strict=True)]
        by_class = [np.mean([r for r, label in zip(right, LABELS, strict=True) if label == c]) for c in range(5)]
        for result in report.results:
            found = result.scores[name]
            assert found.top1 == pytest.approx(np.mean(right))
            assert found.top5 == pytest.approx(np.mean(among_five))
            assert found.mean_class == pytest.approx(np.mean(by_class))
            assert found.by_class == [*map(pytest.approx, by_class), None]


def test_the_report_is_json_and_says_what_was_done(opened, source, evaluation):
    report = eval_report(opened, source, evaluation, Loading(), CLIPS, ["x: y"])
    assert json.loads(json_bytes(report))["left_out"] == ["x: y"]
    assert (report.videos, report.num_clips, report.reference) == (9, CLIPS, "torch fp32")
    assert report.deployed == "fused 1:1"
    assert [entry.videos for entry in report.classes] == [3, 2, 2, 1, 1, 0]
    reference, other = report.results
    assert reference.against_reference is None
    against = present(other.against_reference)["fused 1:1"]
    assert against.agreement == 1
    assert 0 < against.largest_difference < 1e-5
    assert sum(entry.videos for entry in reference.confusions) == round(9 * (1 - reference.scores["fused 1:1"].top1))


@pytest.mark.parametrize("batch", [1, 3, 4, 100])
def test_the_batch_changes_no_score(opened, source, evaluation, batch):
    """Videos of two clips in batches of three: a batch ends in the middle of a video."""
    outcome = evaluate(opened, source, [ORT], Loading(batch=batch), quiet).outcomes[0]
    np.testing.assert_allclose(
        outcome.scores.by_logits["rgb_logits"], evaluation.outcomes[1].scores.by_logits["rgb_logits"], atol=1e-6
    )
    np.testing.assert_allclose(
        outcome.scores.by_logits["pose_logits"], evaluation.outcomes[1].scores.by_logits["pose_logits"], atol=1e-6
    )


class Doubling(base.Session):
    """Takes exactly two clips; the logits are the clips' own first values."""

    runtime, version = "fake", "1"

    def run(self, feeds):
        assert len(feeds["imgs"]) == 2
        return {"rgb_logits": feeds["imgs"], "pose_logits": feeds["heatmap_imgs"]}


def test_a_graph_of_fixed_batch_is_filled_up_and_the_filling_dropped():
    logits = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    videos = [{"imgs": part, "heatmap_imgs": -part} for part in (logits[:3], logits[3:])]
    scores = Scorer(Doubling(), two_stream_contract(TINY, (1, 1), 2, {}), 2)(videos)
    expected = [softmax(logits[:3]).mean(0), softmax(logits[3:]).mean(0)]
    np.testing.assert_allclose(scores.by_logits["rgb_logits"], expected)
    assert not np.allclose(scores.by_logits["pose_logits"], expected)


def test_nan_is_no_result():
    logits = np.ones((2, 4), np.float32)
    with pytest.raises(GateError, match="fake gives NaN") as caught:
        Scorer(Doubling(), CONTRACT, 2)([{"imgs": logits, "heatmap_imgs": np.full_like(logits, np.nan)}])
    assert caught.value.exit_code == 3


def reported(*fusion):
    return reported_scores(two_stream_contract(TINY, fusion, None, {}))


def test_a_bundles_own_fusion_is_reported_and_named():
    assert list(reported(1, 1).scores) == ["rgb", "pose", "fused 1:1", "fused 2:1", "fused 1:2"]
    assert reported(0.5, 0.5).deployed == "fused 1:1"
    assert reported(4, 2).deployed == "fused 2:1"
    assert reported(0, 3).deployed == "pose"
    own = reported(3, 1)
    assert (own.deployed, len(own.scores)) == ("fused 3:1", 6)
    assert own.scores[own.deployed].shares() == {"rgb_logits": 0.75, "pose_logits": 0.25}


def test_clips_without_labels_are_refused_before_any_is_loaded(opened, tmp_path):
    source = open_source(write_clips(tmp_path / "clips", [0, None, None]), CONTRACT, clips=CLIPS)
    with pytest.raises(DataError, match="2 of the 3 clips") as caught:
        evaluate(opened, source, [REFERENCE], Loading(), lambda done, total: pytest.fail("a clip was run"))
    assert caught.value.details == ("clip1", "clip2")


def damaged(clips, tmp_path):
    folder = shutil.copytree(clips, tmp_path / "damaged")
    arrays = dict(np.load(folder / "clip3.npz"))
    arrays["imgs"][0, 0, 0, 0, 0] = np.nan
    np.savez(folder / "clip3.npz", **arrays)
    return open_source(folder, CONTRACT, clips=CLIPS)


def test_a_clip_that_cannot_be_used_ends_the_run(opened, clips, tmp_path):
    with pytest.raises(DataError, match=r"clip3\.npz.*NaN"):
        evaluate(opened, damaged(clips, tmp_path), [ORT], Loading(), quiet)


def test_a_skipped_clip_is_named_counted_and_changes_nothing_else(opened, clips, tmp_path, evaluation):
    source, loading = damaged(clips, tmp_path), Loading(on_error="skip", batch=4)
    seen = []
    result = evaluate(opened, source, [ORT], loading, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (9, 9)
    report = eval_report(opened, source, result, loading, CLIPS, [])
    assert report.skipped.count == 1
    assert report.skipped.videos[0].name == "clip3"
    assert "NaN" in report.skipped.videos[0].reason
    assert report.videos == 8
    kept = [index for index in range(9) if index != 3]
    np.testing.assert_allclose(
        result.outcomes[0].scores.by_logits["rgb_logits"],
        evaluation.outcomes[1].scores.by_logits["rgb_logits"][kept],
        atol=1e-6,
    )
    assert result.labels.tolist() == [LABELS[index] for index in kept]


def test_a_run_that_skips_everything_fails(opened, tmp_path):
    folder = write_clips(tmp_path / "clips", [0, 1], clips=1)  # two clips are asked for
    with pytest.raises(DataError, match="none of the 2 videos"):
        evaluate(opened, open_source(folder, CONTRACT, clips=CLIPS), [ORT], Loading(on_error="skip"), quiet)


def test_a_limit_takes_of_every_class_and_tolerates_too_few(opened, source):
    assert sorted(evaluate(opened, source, [ORT], Loading(limit=5), quiet).labels) == [0, 1, 2, 3, 4]
    assert len(evaluate(opened, source, [ORT], Loading(limit=99), quiet).labels) == 9


def test_waiting_is_a_part_of_the_time(evaluation):
    assert 0 < evaluation.time.waiting_s < evaluation.time.total_s


def test_a_fixed_batch_cannot_be_asked_to_be_another(opened, source):
    fixed = fixed_to(opened, 2)
    with pytest.raises(UsageError, match="takes 2 clips at a time, not 3"):
        evaluate(fixed, source, [ORT], Loading(batch=3), quiet)


def test_an_altered_graph_is_not_evaluated(bundle, tmp_path):
    copied = shutil.copytree(bundle, tmp_path / "copy")
    (copied / "recognizer.onnx").write_bytes((copied / "head.onnx").read_bytes())
    with pytest.raises(BundleError, match=r"recognizer\.onnx"):
        open_part(Bundle.open(copied), ORT)


def test_clips_without_a_person_are_named_and_all_of_them_are_refused(opened, tmp_path):
    folder = write_clips(tmp_path / "clips", [0, 1])
    arrays = dict(np.load(folder / "clip1.npz"))
    arrays["heatmap_imgs"][:] = 0
    np.savez(folder / "clip1.npz", **arrays)
    source, loading = open_source(folder, CONTRACT, clips=CLIPS), Loading()
    evaluation = evaluate(opened, source, [REFERENCE], loading, quiet)
    persons = present(eval_report(opened, source, evaluation, loading, CLIPS, []).persons)
    assert persons.videos_without == ["clip1"]
    assert persons.frames_with_persons == persons.frames // 2
    np.savez(folder / "clip0.npz", **arrays)
    with pytest.raises(DataError, match=r"none of the 2 videos .* shows a person"):
        evaluate(opened, open_source(folder, CONTRACT, clips=CLIPS), [REFERENCE], loading, quiet)
