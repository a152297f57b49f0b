"""Traps: nothing is broken, and a first run on this GPU would mislead or fail."""

import shutil
import subprocess
from dataclasses import replace

import pytest

from x3ddeploy.doctor.install import Gpu
from x3ddeploy.doctor.packages import PACKAGES, Package, State
from x3ddeploy.doctor.probes import gpu_settings
from x3ddeploy.doctor.traps import find_traps

NO_GPU = Gpu(None, None, (), "no NVIDIA driver")
H100 = Gpu("550.1", "12.4", ({"name": "H100", "compute_capability": "9.0", "memory_bytes": 80 << 30},), "")
T4 = replace(H100, devices=({"name": "T4", "compute_capability": "7.5", "memory_bytes": 16 << 30},))
FREE = {"persistence": True, "mig": False, "power_limit_w": 700.0, "default_power_limit_w": 700.0, "processes": 0}


def packages(**facts):
    """All of them installed; facts by name, with an underscore for a hyphen."""
    found = {known.name: Package(known, State.OK, {known.name: "9.9"}) for known in PACKAGES}
    for name, value in facts.items():
        found[name.replace("_", "-")] = replace(found[name.replace("_", "-")], facts=value)
    return found


def messages(gpu=H100, settings=FREE, environment=None, **facts):
    return [trap.message for trap in find_traps(packages(**facts), gpu, settings, environment or {})]


def test_a_machine_in_order_has_none():
    facts = {"tensorrt": {"strongly_typed": True, "cuda": "12"}, "tensorrt_rtx": {"compute_capabilities": ["9.0"]}}
    assert messages(**facts) == []
    assert messages(NO_GPU, {}, {"NVIDIA_TF32_OVERRIDE": "1"}) == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"tensorrt": {"strongly_typed": False}}, "opset 17 at most"),
        ({"tensorrt": {"cuda": "13"}}, "built for CUDA 13, and the driver serves 12.4"),
        (
            {"tensorrt_rtx": {"compute_capabilities": ["8.9", "12.0"]}},
            "does not build for H100 (compute capability 9.0)",
        ),
        ({"gpu": T4}, "T4 (compute capability 7.5) has no bfloat16"),
        ({"environment": {"NVIDIA_TF32_OVERRIDE": "0"}}, "decides over TF32"),
        ({"environment": {"CUDA_LAUNCH_BLOCKING": "1"}}, "CUDA graphs fail"),
        ({"environment": {"CUDA_VISIBLE_DEVICES": "3"}}, "CUDA_VISIBLE_DEVICES=3"),
        ({"settings": FREE | {"persistence": False}}, "persistence mode is off"),
        ({"settings": FREE | {"power_limit_w": 350.0}}, "350 W of 700 W"),
        ({"settings": FREE | {"mig": True}}, "MIG is on"),
        ({"settings": FREE | {"processes": 2}}, "2 other processes"),
    ],
)
def test_each_trap_is_named(facts, words):
    (message,) = messages(**facts)
    assert words in message


def test_what_a_gpu_does_not_tell_is_no_trap():
    assert messages(settings={}) == []
    assert messages(settings=dict.fromkeys(FREE)) == []
    assert messages(environment={"CUDA_LAUNCH_BLOCKING": "0"}) == []


NVML = r"""
typedef void *handle;
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, handle *h) { *h = (handle)1; return 0; }
int nvmlDeviceGetPersistenceMode(handle h, unsigned *mode) { *mode = 0; return 0; }
int nvmlDeviceGetMigMode(handle h, unsigned *now, unsigned *later) { *now = 1; *later = 0; return 0; }
int nvmlDeviceGetPowerManagementLimit(handle h, unsigned *mw) { *mw = 350000; return 0; }
int nvmlDeviceGetPowerManagementDefaultLimit(handle h, unsigned *mw) { return 3; }
int nvmlDeviceGetComputeRunningProcesses_v3(handle h, unsigned *n, void *infos) { if (*n) return 2; *n = 2; return 7; }
"""


def test_settings_are_nvmls(tmp_path):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    (tmp_path / "nvml.c").write_text(NVML)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / "nvml.so", tmp_path / "nvml.c"], check=True)
    assert gpu_settings(str(tmp_path / "nvml.so")) == {
        "persistence": False,
        "mig": True,
        "power_limit_w": 350.0,
        "default_power_limit_w": None,
        "processes": 2,
    }
    assert gpu_settings(str(tmp_path / "none.so")) == {}
