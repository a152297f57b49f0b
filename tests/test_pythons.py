"""The declared Pythons: what holds for each of them without PyTorch. `make pythons` installs and runs."""

import sys

import msgspec
import pytest
from support import pythons


@pytest.mark.parametrize("which", ["oldest", "newest"])
def test_every_source_compiles_without_a_warning(which):
    """In between, what one takes the other does, too; `make pythons` asks each of them."""
    found = list(pythons.interpreters().values())
    if not found:
        pytest.skip("none of the declared Pythons is on the path")
    assert pythons.compiled(found[0] if which == "oldest" else found[-1], pythons.sources()) == ""


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
