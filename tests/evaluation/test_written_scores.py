"""`eval --scores`: a run that goes on from written clips reports what one run over all of them does."""

import json

import msgspec
import numpy as np
import pytest
from support.documents import of_its_type

import x3ddeploy
from x3ddeploy.bundle import Bundle
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.evaluation.rows import WrittenClips
from x3ddeploy.evaluation.scores import Scorer
from x3ddeploy.modalities.synthetic import batch_inputs

CLIPS = 5


@pytest.fixture(scope="module")
def clips(bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for index in range(CLIPS):
        inputs = batch_inputs(Bundle.open(bundle).contract.inputs, 1, seed=index)
        np.savez(folder / f"clip{index}.npz", label=index % 3, **{name: value[0] for name, value in inputs.items()})
    (folder / "clip9.npz").write_bytes((folder / "clip0.npz").read_bytes())
    broken = {name: value[0] for name, value in inputs.items()}
    np.savez(folder / "broken.npz", label=0, **{name: np.full_like(value, np.nan) for name, value in broken.items()})
    return folder


@pytest.fixture(autouse=True, scope="module")
def no_plots():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("x3ddeploy.api.evaluate.can_plot", lambda: False)
        yield


def evaluated(bundle, clips, folder, **words):
    """The report, without how long it took."""
    folder.mkdir(exist_ok=True)
    report = x3ddeploy.evaluate(
        bundle, data=clips, runtimes=["onnxruntime"], precisions=["fp32"], on_error="skip", output=folder, plot=None,
        **words,
    ).report  # fmt: skip
    return {name: value for name, value in msgspec.to_builtins(report).items() if name not in ("loading", "limit")}


@pytest.fixture(scope="module")
def whole(bundle, clips, tmp_path_factory):
    return evaluated(bundle, clips, tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("name", ["scores.jsonl", "scores.parquet"])
def test_a_run_that_goes_on_reports_what_one_run_does(bundle, clips, whole, tmp_path, name, monkeypatch):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    assert (whole["videos"], whole["skipped"]["count"]) == (CLIPS + 1, 1)
    runs = []
    run = Scorer.__call__

    def counted(self, videos):
        runs.extend(videos)
        return run(self, videos)

    monkeypatch.setattr(Scorer, "__call__", counted)
    scores = tmp_path / name
    evaluated(bundle, clips, tmp_path, scores=scores, limit=3)
    first = len(runs)
    assert evaluated(bundle, clips, tmp_path, scores=scores) == whole
    assert len(runs) == 2 * (CLIPS + 1), "a clip was run twice, or not at all"
    assert 0 < first < len(runs)
    assert evaluated(bundle, clips, tmp_path, scores=scores) == whole
    assert len(runs) == 2 * (CLIPS + 1)


def test_rows_are_of_their_types_and_of_their_data(bundle, clips, tmp_path):
    scores = tmp_path / "scores.jsonl"
    evaluated(bundle, clips, tmp_path, scores=scores)
    lines = scores.read_text().splitlines()
    assert len(lines) == 2 * (CLIPS + 1) + 1
    for line in lines:
        of_its_type("eval-failed-row" if "error" in json.loads(line) else "eval-row", line)
    with pytest.raises(UsageError, match="other settings"):
        evaluated(bundle, clips, tmp_path, scores=scores, num_clips=1, batch=1, min_keypoint_score=0.5)


@pytest.mark.parametrize(
    "damage",
    [{"averages": {"rgb_logits": "much"}}, {"averages": {}}, {"people": 1}, {"precision": "fp4"}, {"error": 1}],
)
def test_a_damaged_row_is_one_error_that_names_its_clip(bundle, tmp_path, damage):
    contract = Bundle.open(bundle).contract
    averages = {name: [0.5, 0.5] for name in contract.logits.values()}
    row = {"schema_version": 1, "name": "clip", "label": 0, "people": None, "runtime": "torch", "device": "cpu"}
    row |= {"precision": "fp32", "version": "1", "computed_on": "cpu", "averages": averages, "run": "r", "rows": 1}
    (tmp_path / "scores.jsonl").write_text(json.dumps(row) + "\n")
    WrittenClips(tmp_path / "scores.jsonl", "r", contract).rows.close()
    (tmp_path / "scores.jsonl").write_text(json.dumps(row | damage) + "\n")
    with pytest.raises(DataError, match="the rows of clip are damaged"):
        WrittenClips(tmp_path / "scores.jsonl", "r", contract)
