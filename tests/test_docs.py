"""Every command shown in README and docs runs, in the order shown, in a directory that holds `configs` alone."""

import hashlib
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from support.command import spawn
from support.shared import once

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_RUN = ("make ",)  # set-up commands, which the test run itself has gone through
NEEDS = {"build-trt.md": "tensorrt_rtx"}  # page -> a package that not every machine can have


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands_of(page):
    """The commands that a page shows, in their order."""
    lines = (line for block in blocks(page, "sh") for line in block.splitlines() if line.strip())
    return tuple(line for line in lines if not line.startswith(NOT_RUN))


def execute(command, folder, run):
    words = shlex.split(command)
    if words[0] == "python":
        process = subprocess.run([sys.executable, *words[1:]], cwd=folder, capture_output=True, text=True, check=False)
        assert process.returncode == 0, f"{command}\n{process.stderr}"
    else:
        assert words[0] == "x3ddeploy", f"a page shows a command that no test runs: {command}"
        # Training forks workers for its data: in a process that has run networks of every runtime they may end it.
        process = (spawn if words[1] == "train" else run)(*words[1:], cwd=folder)
        assert process.returncode == 0, f"{command}\n{process.stderr}"


# Pages begin with the same commands. What several of them have been through is copied, not done again.
BEGINNINGS = Counter(commands[:count] for commands in map(commands_of, PAGES) for count in range(1, len(commands) + 1))


def begun(commands, run, tmp_path_factory):
    """A folder in which these commands, the beginning of several pages, were run; nobody may change it."""

    def make(folder):
        if len(commands) > 1:
            shutil.copytree(begun(commands[:-1], run, tmp_path_factory), folder, symlinks=True, dirs_exist_ok=True)
        else:
            (folder / "configs").symlink_to(ROOT / "configs")  # what a clone has beside the package
        execute(commands[-1], folder, run)

    name = hashlib.sha256("\n".join(commands).encode()).hexdigest()[:12]
    return once(tmp_path_factory, f"page-{name}", make)[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_run(page, run, tmp_path, tmp_path_factory, monkeypatch):
    if page.name in NEEDS and importlib.util.find_spec(NEEDS[page.name]) is None:
        pytest.skip(f"{NEEDS[page.name]} is not installed")
    commands = commands_of(page)
    shared = max((count for count in range(len(commands) + 1) if BEGINNINGS[commands[:count]] > 1), default=0)
    folder = tmp_path / "clone"
    if shared:
        shutil.copytree(begun(commands[:shared], run, tmp_path_factory), folder, symlinks=True)
    else:
        folder.mkdir()
        (folder / "configs").symlink_to(ROOT / "configs")
    for command in commands[shared:]:
        execute(command, folder, run)
    monkeypatch.chdir(folder)
    for code in blocks(page, "python"):
        exec(compile(code, page.name, "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert "://" in target or (page.parent / target).exists(), target
