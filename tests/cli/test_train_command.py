"""`x3ddeploy train` as a user types it."""

import sys
import warnings

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


def test_a_pair_behind_resume_is_no_checkpoint(config, monkeypatch):
    asked = {}
    monkeypatch.setattr("x3ddeploy.train", lambda config, **options: asked.update(options), raising=False)
    pairs = ["train_cfg.max_epochs=3", "seed=1"]
    for given in (["--resume", *pairs], ["--resume", "--cfg-options", *pairs]):
        assert CliRunner().invoke(command, [config, *given]).exit_code == 0
        assert asked["resume"] == "auto"
        assert sorted(asked["cfg_options"]) == sorted(pairs)


def test_mixed_precision_without_a_gpu_says_what_is_missing(config, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(MissingRequirementError, match="--amp needs a GPU"):
        CliRunner().invoke(command, [config, "--amp"], catch_exceptions=False)


def test_what_libraries_say_of_a_config_or_a_data_set_reaches_no_terminal_raw(run, config, monkeypatch):
    logging = pytest.importorskip("mmengine.logging")
    evil = "\x1b[2J\r\x07\x9b31m\u202egnp."

    def says(*arguments, progress, **options):
        logging.MMLogger("says").warning(f"the class {evil}\nhas no clips")
        sys.stdout.write(f"{evil}\n")
        sys.stderr.write(f"{evil}\n")
        warnings.warn(evil, stacklevel=1)
        progress(evil)

    monkeypatch.setattr("x3ddeploy.train", says)
    process = run("train", config)
    assert (process.returncode, process.stdout) == (0, "")
    assert process.stderr.count("\\x1b[2J\\r\\x07") >= 5
    assert not set(process.stderr) & set("\x1b\r\x07\x9b\u202e")
    assert "\nhas no clips" in process.stderr  # lines stay lines
