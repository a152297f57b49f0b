"""`x3ddeploy train` as a user types it."""

import pytest
from click.testing import CliRunner

from x3ddeploy.cli.train import command
from x3ddeploy.errors import MissingRequirementError, UsageError


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "user.py"
    path.write_text("model = dict(type='A')\ntrain_dataloader = dict(batch_size=2)\n")
    return str(path)


def test_help_says_that_the_config_is_executed():
    assert "EXECUTED" in CliRunner().invoke(command, ["--help"]).output


def test_a_missing_config_is_a_usage_error(run, tmp_path):
    process = run("train", "absent.py", cwd=tmp_path)
    assert process.returncode == 2
    assert "'absent.py' does not exist" in process.stderr
    assert process.stdout == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--launcher", "pytorch"], "torchrun"),
        (["--resume", "absent.pth"], r"no checkpoint absent\.pth"),
        (["--cfg-options", "a=1", "b"], "KEY=VALUE"),
    ],
)
def test_options_that_cannot_be_met_are_refused(config, options, words):
    with pytest.raises(UsageError, match=words):
        CliRunner().invoke(command, [config, *options], catch_exceptions=False)


def test_mixed_precision_without_a_gpu_says_what_is_missing(config, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(MissingRequirementError, match="--amp needs a GPU"):
        CliRunner().invoke(command, [config, "--amp"], catch_exceptions=False)
