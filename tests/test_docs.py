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

import click
import pytest
from support.command import command_of
from support.shared import once

from x3ddeploy.cli.main import VERBS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_RUN = ("make ",)  # set-up commands, which the test run itself has gone through
# Options of other people's commands.
FOREIGN = {
    "cmake": {"--build", "--install", "--parallel", "--prefix"},
    "pip": {"--extra-index-url"},
    "pkg-config": {"--cflags", "--libs"},
    "polygraphy": {"--data-loader-script"},
    "torchrun": {"--nnodes", "--nproc_per_node", "--rdzv_backend", "--rdzv_endpoint"},
    "tritonserver": {"--model-repository"},
    "trtexec": {"--loadEngine"},
}
NEEDS = {"build-trt.md": "tensorrt_rtx"}  # page -> a package that not every machine can have


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands_of(page):
    """The commands that a page shows, in their order."""
    lines = (line for block in blocks(page, "sh") for line in block.splitlines() if line.strip())
    return tuple(line for line in lines if not line.startswith(NOT_RUN))


# How long `bench` measures and in how many threads, how many clips an action has, and for which GPUs engines are built,
# is no matter here.
LESS = {
    r"--seconds 1\b": "--seconds 0.1",
    r"^x3ddeploy bench (?!--compare)": "x3ddeploy bench --threads 1 ",
    r"--clips-per-class 4\b": "--clips-per-class 2",
    r"--clips-per-class 12\b": "--clips-per-class 2 --subjects 2",
    r"--subjects 4\b": "--subjects 2",
    r"--compute-capability 8\.9,12\.0\b": "--compute-capability 8.9",
}


def execute(command, folder, run):
    for amount, less in LESS.items():
        command = re.sub(amount, less, command)
    words = shlex.split(command)
    if words[0] == "python":
        process = subprocess.run([sys.executable, *words[1:]], cwd=folder, capture_output=True, text=True, check=False)
        assert process.returncode == 0, f"{command}\n{process.stderr}"
    else:
        assert words[0] == "x3ddeploy", f"a page shows a command that no test runs: {command}"
        process = run(*words[1:], cwd=folder)
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


def options(verb):
    """Options of each command below a verb, by what is typed."""
    command = command_of(verb)
    below = command.commands if isinstance(command, click.Group) else {"": command}
    return {
        f"{verb} {name}".strip(): {"--help", *(option for parameter in one.params for option in parameter.opts)}
        for name, one in below.items()
    }


def test_options_that_a_page_names_exist():
    ours = {typed: known for verb in VERBS for typed, known in options(verb).items()}
    sources = [*ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("benchmarks/gpu/**/*.sh"), ROOT / "x3ddeploy" / "demo.py"]
    sources.append(ROOT / "cpp" / "examples" / "cli" / "arguments.cpp")
    scripts = {option for source in sources for option in re.findall(r"--[a-z][\w-]+", source.read_text())}
    known = scripts.union(*ours.values(), *FOREIGN.values())
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        shown = re.findall(r"(?<![\w-])--[a-z][\w-]+", text)
        found += [f"{page.name}: {option}" for option in shown if option not in known]
        for typed in re.findall(r"(?:^|`)x3ddeploy ([^`\n]+)", text, re.MULTILINE):
            for command in (name for name in ours if re.match(rf"{name}\b(?!-)", typed)):
                given = re.findall(r"(?<![\w-])--[a-z][\w-]+", typed)
                found += [f"{page.name}: {command} {option}" for option in given if option not in ours[command]]
    assert found == []


def test_files_tests_and_targets_that_a_page_names_are_there():
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    targets, found = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE), []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        paths = re.findall(r"`((?:x3ddeploy|docs|benchmarks|configs|calib|cpp|tests)/[\w./-]+)`", text)
        headers = ROOT / "cpp" / "include"
        found += [path for path in paths if not ((ROOT / path).exists() or (headers / path).exists())]
        found += [name for name in re.findall(r"`(test_\w+)`", text) if f"def {name}(" not in tests]
        found += [name for name in re.findall(r"`make ([\w-]+)`", text) if name not in targets]
    assert found == []
