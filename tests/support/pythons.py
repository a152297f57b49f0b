"""The Pythons that pyproject.toml declares: find them, and try the package in each that is found (`make pythons`)."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from support.present import present

ROOT = Path(__file__).parents[2]
LEAST, NEWEST = (3, 10), (3, 13)
_NAMES = [f"python{LEAST[0]}.{minor}" for minor in range(LEAST[1], NEWEST[1] + 1)]


def interpreters():
    """Name, as python3.10, -> interpreter of each declared Python that is on the path or in pyenv's folder."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {}
    for name in _NAMES:
        candidates = [shutil.which(name), *sorted(pyenv.glob(f"{name.removeprefix('python')}.*/bin/python"))]
        found[name] = next((str(path) for path in candidates if path and _starts(path, name)), None)
    return {name: path for name, path in found.items() if path}


def _starts(path, name):
    """Whether it is that Python; pyenv's shims are on the path for versions that are not chosen, too."""
    code = "import sys; print('python%d.%d' % sys.version_info[:2])"
    process = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
    return process.returncode == 0 and process.stdout.strip() == name


def sources():
    """Every Python file of the repository; of the package alone where git cannot tell."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    return [ROOT / name for name in listed.stdout.split()] or list((ROOT / "x3ddeploy").rglob("*.py"))


def compiled(interpreter, paths):
    """What this Python says against the sources, SyntaxWarnings included; nothing is written."""
    code = (
        "import sys, warnings\n"
        "warnings.simplefilter('error', SyntaxWarning)\n"
        "for path in sys.stdin.read().splitlines():\n"
        "    try:\n        compile(open(path, 'rb').read(), path, 'exec')\n"
        "    except (SyntaxError, ValueError) as error:\n        print(f'{path}: {error!r}')\n"
    )
    names = "\n".join(map(str, paths))
    return subprocess.run([interpreter, "-c", code], input=names, capture_output=True, text=True, check=True).stdout


def without_torch(interpreter, bundle):
    """The report of without_torch.py in this interpreter, on a copy of a bundle."""
    with tempfile.TemporaryDirectory() as folder:
        copied = shutil.copytree(bundle, Path(folder) / "deploy")
        process = subprocess.run(
            [interpreter, "-B", Path(__file__).with_name("without_torch.py"), copied, ROOT / "calib"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def _environment(name, interpreter):
    """The interpreter of a virtual environment with all that the package requires but PyTorch."""
    folder = ROOT / "build" / "pythons" / name
    python = folder / "bin" / "python"
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = present(re.search(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL))[1]
    required = [line for line in re.findall(r'^  "(.*?)"', listed, re.MULTILINE) if not line.startswith("torch")]
    subprocess.run([interpreter, "-m", "venv", folder], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", ROOT / "constraints.txt"]
    subprocess.run([*install, *required, "onnxruntime", "av"], check=True)
    return python


def main(bundle):
    found = interpreters()
    for name in _NAMES:
        if name not in found:
            sys.stdout.write(f"{name}: NOT TESTED, no such interpreter here\n")
            continue
        if said := compiled(found[name], sources()):
            raise SystemExit(f"{name} says of the sources:\n{said}")
        report = without_torch(_environment(name, found[name]), bundle)
        waiting = ", ".join(f"{len(names)} that import {package}" for package, names in report["not_tested"].items())
        sys.stdout.write(
            f"{name}: {report['python']} compiles all sources, imports {len(report['imported'])} modules, "
            f"reads {report['recipes']} recipes, explains every verb; NOT TESTED: modules {waiting}\n"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
