"""A task that crashes, is killed or fails in the child process is one error here, with its log."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.forked_children import AS_USERS_DO
from support.present import present

from x3ddeploy import child_process
from x3ddeploy.child_process import run_in_child
from x3ddeploy.errors import GateError, X3DDeployError


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    (tmp_path / "engine_tasks.py").write_text(
        "import os, signal, sys\n"
        "from x3ddeploy.errors import GateError\n"
        "class Own(GateError): pass\n"
        "def add(request, progress):\n"
        "    progress('adding')\n"
        "    print('welcome to a library'); os.write(1, b'from C\\n')\n"
        "    return {'sum': request['a'] + request['b']}\n"
        "def crash(request, progress):\n"
        "    sys.stderr.write('line before the crash\\n'); sys.stderr.flush()\n"
        "    os.kill(os.getpid(), signal.SIGSEGV)\n"
        "def leave(request, progress): os._exit(3)\n"
        "def refuse(request, progress):\n"
        "    sys.stderr.write('[ERROR] TensorRT said so\\n')\n"
        "    raise Own('not as asked', hint='do this', details=['layer 1'])\n"
        "def fail(request, progress): return 1 / 0\n"
        "def hold(request, progress):\n"
        "    import time\n"
        "    progress(str(os.getpid()))\n"
        "    time.sleep(60)\n"
    )
    monkeypatch.setattr(child_process, "_start", AS_USERS_DO)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def run(name, told=None):
    progress = (lambda text: None) if told is None else told.append
    return run_in_child(f"engine_tasks:{name}", {"a": 1, "b": 2}, "the task", progress)


def logs(folder):
    return list(folder.glob("x3ddeploy-*.log"))


def test_result_and_progress_come_back_and_what_libraries_print_does_not(tasks):
    told: list[str] = []
    assert run("add", told) == {"sum": 3}
    assert told == ["adding"]
    assert logs(tasks) == []


def test_a_crash_is_an_error_with_its_log(tasks):
    with pytest.raises(X3DDeployError, match="the task crashed with SIGSEGV") as error:
        run("crash")
    assert error.value.details == ("line before the crash",)
    (log,) = logs(tasks)
    assert str(log) in error.value.hint
    assert not list(tasks.glob("core*"))


def test_an_exit_without_an_answer_is_an_error(tasks):
    with pytest.raises(X3DDeployError, match="ended with exit code 3"):
        run("leave")


def test_the_tasks_own_error_keeps_its_kind_and_gets_the_log(tasks):
    with pytest.raises(GateError, match="not as asked") as error:
        run("refuse")
    assert error.value.exit_code == 3
    assert error.value.hint == "do this"
    assert error.value.details == ("layer 1", "log: [ERROR] TensorRT said so")
    assert logs(tasks) == []


def test_an_unexpected_exception_is_told_with_its_traceback(tasks):
    with pytest.raises(X3DDeployError, match="ZeroDivisionError") as error:
        run("fail")
    assert any("engine_tasks.py" in line for line in error.value.details)


def test_a_task_that_takes_too_long_is_ended(tasks):
    (tasks / "engine_sleeping.py").write_text("import time\ndef sleep(request, progress): time.sleep(600)\n")
    with pytest.raises(X3DDeployError, match=r"sleeping was ended after 1 s"):
        run_in_child("engine_sleeping:sleep", {}, "sleeping", lambda text: None, limit_s=1.0)


def test_an_interrupt_ends_the_child(tasks):
    (tasks / "engine_waiting.py").write_text(
        "import os, time\ndef wait(request, progress):\n    progress(str(os.getpid()))\n    time.sleep(600)\n"
    )
    seen = []

    def interrupt(text):
        seen.append(int(text))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_in_child("engine_waiting:wait", {}, "waiting", interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)


def test_the_child_ends_with_a_parent_that_is_killed(tasks):
    """A builder that outlives its command would hold the GPU, and write where nobody waits for it."""
    program = (
        "import sys; sys.path[:] = sys.argv[1:]\n"
        "from x3ddeploy.child_process import run_in_child\n"
        "run_in_child('engine_tasks:hold', {}, 'the task', lambda text: print(text, flush=True))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, *sys.path], stdout=subprocess.PIPE, text=True)
    printed = present(parent.stdout)
    child = int(printed.readline())
    assert is_running(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    printed.close()
    deadline = time.monotonic() + 60
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(child)


def is_running(process):
    """Neither gone nor dead and not yet reaped by whoever inherited it."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
