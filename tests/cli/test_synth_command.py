"""`x3ddeploy synth`: what a user types, reads and gets."""

import pytest
from support.documents import of_its_type

pytest.importorskip("cv2")
pytest.importorskip("av")

TINY = ("--size", "32x48", "--frames", "8", "--clips-per-class", "2", "--subjects", "2")


def test_one_json_document_says_what_was_written(run, tmp_path):
    process = run("synth", tmp_path / "actions", *TINY, "--seed", 4, "--json")
    assert process.returncode == 0, process.stderr
    summary = of_its_type("synth", process.stdout)
    of_its_type("dataset", (tmp_path / "actions" / "dataset.json").read_text())
    assert process.stderr == ""  # no progress bar where nobody watches
    assert summary["seed"] == 4
    assert summary["size"] == [32, 48]
    assert summary["clips"] == 24
    assert summary["splits"] == {"xsub_train": 12, "xsub_val": 12, "xview_train": 12, "xview_val": 12}
    assert summary["classes"] == (tmp_path / "actions" / "labels.txt").read_text().split()
    assert len(list((tmp_path / "actions" / "videos").glob("*.mp4"))) == 24


def test_a_second_run_needs_overwrite(run, tmp_path):
    first = run("synth", "actions", *TINY, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "24 clips of 12 classes" in first.stdout
    again = run("synth", "actions", *TINY, cwd=tmp_path)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
    assert run("synth", "actions", *TINY, "--overwrite", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("--size", "large"), "224x224"), (("--size", "33x32"), "even"), (("--clips-per-class", "3"), "--subjects")],
)
def test_wrong_options_are_a_usage_error(run, tmp_path, arguments, said):
    process = run("synth", tmp_path / "actions", *arguments)
    assert process.returncode == 2
    assert said in process.stderr
    assert list(tmp_path.iterdir()) == []
