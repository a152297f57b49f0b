"""Every command shown in README and docs runs, in the order shown, in a directory that holds `configs` alone."""

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_RUN = ("make ",)  # set-up commands, which the test run itself has gone through
NEEDS = {"build-trt.md": "tensorrt_rtx"}  # page -> a package that not every machine can have


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_run(page, run, tmp_path):
    if page.name in NEEDS and importlib.util.find_spec(NEEDS[page.name]) is None:
        pytest.skip(f"{NEEDS[page.name]} is not installed")
    (tmp_path / "configs").symlink_to(ROOT / "configs")  # what a clone has beside the package
    commands = [line for block in blocks(page, "sh") for line in block.splitlines() if line.strip()]
    for command in commands:
        if command.startswith(NOT_RUN):
            continue
        words = shlex.split(command)
        if words[0] == "python":
            process = subprocess.run(
                [sys.executable, *words[1:]], cwd=tmp_path, capture_output=True, text=True, check=False
            )
        else:
            assert words[0] == "x3ddeploy", f"{page.name} shows a command that no test runs: {command}"
            process = run(*words[1:], cwd=tmp_path)
        assert process.returncode == 0, f"{command}\n{process.stderr}"
    for code in blocks(page, "python"):
        process = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert process.returncode == 0, f"{code}\n{process.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert "://" in target or (page.parent / target).exists(), target
