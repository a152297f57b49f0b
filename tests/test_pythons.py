"""The declared Pythons: what holds for each of them without PyTorch. `make pythons` installs and runs."""

import subprocess
import sys

import msgspec
import pytest
from support import pythons

SOURCES = subprocess.run(
    ["git", "ls-files", "*.py"], cwd=pythons.ROOT, capture_output=True, text=True, check=False
).stdout.split() or [str(path.relative_to(pythons.ROOT)) for path in (pythons.ROOT / "x3ddeploy").rglob("*.py")]


@pytest.mark.parametrize("minor", range(pythons.LEAST[1], pythons.NEWEST[1] + 1))
def test_every_source_compiles_without_a_warning(minor):
    interpreter = pythons.interpreters().get(f"python3.{minor}")
    if interpreter is None:
        pytest.skip(f"there is no Python 3.{minor} here")
    assert pythons.compiled(interpreter, [pythons.ROOT / name for name in SOURCES]) == ""


def test_a_source_of_a_later_python_is_told(tmp_path):
    (tmp_path / "later.py").write_text("type Pair = tuple[int, int\n")
    assert "later.py: SyntaxError" in pythons.compiled(sys.executable, [tmp_path / "later.py"])


def test_the_checkers_hold_the_least_python_that_is_declared():
    """mypy knows which names the standard library of a Python lacks, and ruff which syntax."""
    project = msgspec.toml.decode((pythons.ROOT / "pyproject.toml").read_bytes())
    major, minor = pythons.LEAST
    assert project["project"]["requires-python"] == f">={major}.{minor}"
    assert project["tool"]["mypy"]["python_version"] == f"{major}.{minor}"
    assert project["tool"]["ruff"]["target-version"] == f"py{major}{minor}"


def test_what_takes_no_pytorch_runs_without_it(bundle):
    report = pythons.without_torch(sys.executable, bundle)
    needs_none = {"x3ddeploy.cli.main", "x3ddeploy.calibration.recipe", "x3ddeploy.bundle.manifest", "x3ddeploy.errors"}
    assert needs_none <= set(report["imported"]), report["not_tested"]
