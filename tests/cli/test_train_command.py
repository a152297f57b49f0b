"""`x3ddeploy train` as a user types it."""

import pytest
from click.testing import CliRunner

from x3ddeploy.cli.train import command


def test_help_says_that_the_config_is_executed():
    assert "EXECUTED" in CliRunner().invoke(command, ["--help"]).output


def test_a_missing_config_is_a_usage_error(run, tmp_path):
    process = run("train", "absent.py", cwd=tmp_path)
    assert process.returncode == 2
    assert "there is no config" in process.stderr
    assert process.stdout == ""


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--launcher", "pytorch"], 2, "torchrun"),
        (["--resume", "absent.pth"], 2, "no checkpoint absent.pth"),
        (["--cfg-options", "a=1", "b"], 2, "KEY=VALUE"),
    ],
)
def test_options_that_cannot_be_met_are_refused(run, tmp_path, options, code, words):
    (tmp_path / "user.py").write_text("model = dict(type='A')\ntrain_dataloader = dict(batch_size=2)\n")
    process = run("train", "user.py", *options, cwd=tmp_path)
    assert process.returncode == code, process.stderr
    assert words in process.stderr


def test_mixed_precision_without_a_gpu_says_what_is_missing(run, tmp_path):
    (tmp_path / "user.py").write_text("model = dict(type='A')\ntrain_dataloader = dict(batch_size=2)\n")
    process = run("train", "user.py", "--amp", cwd=tmp_path, env={"CUDA_VISIBLE_DEVICES": ""})
    assert process.returncode == 4
    assert "--amp needs a GPU" in process.stderr
