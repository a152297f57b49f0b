"""Who may import whom, and that no stage knows a network by the names of its tensors."""

import ast
import re
from pathlib import Path

import x3ddeploy

PACKAGE = Path(x3ddeploy.__file__).parent
ROOT = PACKAGE.parent
DOCUMENT = ROOT / "docs" / "architecture.md"
NAMES = re.compile(
    r"""["'](rgb|pose|imgs|heatmap_imgs|(rgb|pose)_(backbone|feat|logits|coarse_logits))["']"""
)  # as whole literals
# What a network is called where it is looked up, in its own rooms, the action kind of the synthetic set; a verb's name.
AT_HOME = ("families/", "modalities/", "data/synth/actions.py", "cli/main.py", "schemas.py", "doctor/capabilities.py")


def floors():
    """Floor of each room, as the table of docs/architecture.md has it; the lowest first."""
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", DOCUMENT.read_text(), re.MULTILINE)
    return {room: int(number) for number, rooms in rows for room in re.findall(r"`(\w+)`", rooms)}


def room_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    # A family's classes for MMEngine are imported by the training alone.
    return "training" if parts[0] == "families" and "training" in parts else parts[0]


def imports(path, *, types=True):
    """The rooms that a file imports, with the lines; inside functions as well, and for types alone where asked to."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    guards = [node for node in nodes if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    for_types = [node for guard in guards for node in guard.body]
    for node in nodes:
        if not types and node in for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "x3ddeploy":
            names = [f"x3ddeploy.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "x3ddeploy" and rest and rest != "__version__":
                yield rest.partition(".")[0], node.lineno


def files():
    return sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or not path.name.startswith("__"))


def test_every_room_has_its_floor_in_the_document():
    assert {room_of(path) for path in files()} == set(floors())


def test_no_room_imports_from_a_floor_above_its_own():
    floor = floors()
    found: dict[tuple[str, str], list[str]] = {}
    for path in files():
        for room, line in imports(path):
            if floor[room] > floor[room_of(path)]:
                found.setdefault((room_of(path), room), []).append(f"{path.relative_to(PACKAGE)}:{line}")
    assert found == {}


def test_what_is_private_to_a_file_is_used_there_alone():
    importing = re.compile(r"^ *from x3ddeploy\S* import (\([^)]*\)|.*)", re.MULTILINE)
    found = {
        (path.relative_to(PACKAGE).as_posix(), name)
        for path in files()
        for names in importing.findall(path.read_text())
        for name in re.findall(r"\b_\w+", names)
    }
    assert {name for _, name in found} == {"__version__"}


def test_what_one_system_alone_has_is_behind_one_module_each():
    """`tests/test_other_systems.py` imports everything without them."""
    alone = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "msvcrt", "winreg"}
    imported = re.compile(rf"^ *(?:import|from) ({'|'.join(alone)})\b", re.MULTILINE)
    found = {
        (path.relative_to(PACKAGE).as_posix(), name) for path in files() for name in imported.findall(path.read_text())
    }
    assert found == {("locks.py", "fcntl"), ("child_process.py", "resource")}


def test_nothing_outside_families_knows_one():
    """They are asked for by their registry; the demo alone makes a network, which is one family's."""
    rooms = "|".join(path.name for path in (PACKAGE / "families").iterdir() if path.is_dir())
    of_one = re.compile(rf"\bfamilies\.({rooms})\b|\bfamilies import [^#\n]*\b({rooms})\b")
    naming = {path.relative_to(PACKAGE) for path in files() if of_one.search(path.read_text())}
    assert {path.as_posix() for path in naming if path.parts[0] != "families"} == {"demo.py"}


def test_the_command_line_asks_the_api_alone():
    """For types anything may be imported; what prints a report knows that report."""
    found = {}
    for path in sorted((PACKAGE / "cli").glob("*.py")):
        rooms = {room for room, _ in imports(path, types=False)} - {"cli", "api", "errors", "terms", "text"}
        if rooms:
            found[path.name] = rooms
    assert found == {"bench_output.py": {"benchmarking"}, "doctor.py": {"doctor"}, "inspect.py": {"inspection"}}


def test_no_tensor_or_stream_is_known_by_name_outside_its_rooms():
    found = [
        f"{path.relative_to(PACKAGE)}:{number}"
        for path in files()
        if not path.relative_to(PACKAGE).as_posix().startswith(AT_HOME) and room_of(path) != "training"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if NAMES.search(line) and not line.lstrip().startswith(("#", "accuracy:"))
    ]
    assert found == []


def test_cpp_knows_two_streams_in_schema_1_and_in_the_helpers_of_its_interface():
    """Asked function by function; what stands at the beginning of a line begins one."""
    found = set()
    for path in sorted((PACKAGE.parent / "cpp" / "src").glob("*.[ch]pp")):
        function = ""
        for line in path.read_text(encoding="utf-8").splitlines():
            if name := re.match(r"\w[\w:<>&*, ]*?(\w+)\(", line):
                function = name[1]
            if NAMES.search(line):
                found.add((path.name, function))
    assert found == {
        ("contract.cpp", "name_streams"),
        ("contract.cpp", "network_of_schema_1"),
        ("scores.cpp", "name_streams"),
    }


def test_files_that_text_names_are_there():
    named = re.compile(r"\b(?:x3ddeploy|tests|benchmarks)/[\w/]+\.py\b")
    pages = [*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")]
    found = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in (*files(), *pages)
        for name in named.findall(path.read_text(encoding="utf-8"))
        if not (ROOT / name).exists()
    }
    assert found == set()


def test_docstrings_name_what_they_speak_of():
    """'frames: of the clip.' leaves out what is of the clip; 'likewise' sends the reader elsewhere."""
    genitive = re.compile(r'^ +(\w+(, \w+)*: (of|by|that|likewise|told)\b|"""(Of|By|Its|Those|Likewise)\b)')
    others = [path for folder in ("tests", "benchmarks", "cpp/examples") for path in (ROOT / folder).rglob("*.py")]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in (*files(), *sorted(others))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if genitive.match(line)
    ]
    assert found == []
