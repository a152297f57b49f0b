"""The wheel that users install holds everything, and works away from its sources."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import x3ddeploy

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Folder with the unpacked wheel, as pip would lay it down."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (file,) = folder.glob("x3ddeploy-*.whl")
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


@pytest.mark.parametrize(("sources", "inside"), [("x3ddeploy", "x3ddeploy"), ("cpp", "x3ddeploy/cpp")])
def test_every_file_is_in_it(wheel, sources, inside):
    files = {path.relative_to(ROOT / sources) for path in (ROOT / sources).rglob("*") if path.is_file()}
    files = {path for path in files if "__pycache__" not in path.parts}
    assert len(files) > 50
    assert files <= {path.relative_to(wheel / inside) for path in (wheel / inside).rglob("*")}


def test_it_packs_a_bundle_with_its_own_cpp_sources(wheel, bundle, tmp_path):
    archive = tmp_path / "deploy.tar.gz"
    process = subprocess.run(
        [sys.executable, "-P", "-m", "x3ddeploy", "bundle", str(bundle), "--pack", str(archive)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(wheel), "X3DDEPLOY_TRACEBACK": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    with tarfile.open(archive) as packed:
        assert any(name.endswith("src/recognizer.cpp") for name in packed.getnames())
    where = subprocess.run(
        [sys.executable, "-P", "-c", "import x3ddeploy; print(x3ddeploy.__file__, x3ddeploy.__version__)"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(wheel)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.split() == [str(wheel / "x3ddeploy" / "__init__.py"), x3ddeploy.__version__]
