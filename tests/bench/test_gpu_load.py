"""A GPU's clock is read while it works: what is read afterwards is an idle GPU's."""

import itertools
import shutil
import subprocess
import threading

import pytest

from x3ddeploy.timing.gpu_load import Nvml, Reading, gpu_load
from x3ddeploy.timing.measure import measure

NVML = r"""
typedef void *handle;
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, handle *h) { *h = (handle)0x7000000000000001; return i ? 6 : 0; }
int nvmlDeviceGetClockInfo(handle h, int which, unsigned *mhz) { *mhz = which == 1 ? 1980 : 2619;
  return h != (handle)0x7000000000000001; }
int nvmlDeviceGetPowerUsage(handle h, unsigned *mw) { *mw = 350500; return 0; }
int nvmlDeviceGetTemperature(handle h, int which, unsigned *c) { *c = 61; return which; }
int nvmlDeviceGetCurrentClocksThrottleReasons(handle h, unsigned long long *bits) { *bits = 0x100000004ull; return 0; }
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("nvml")
    (folder / "nvml.c").write_text(NVML)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "nvml.so", folder / "nvml.c"], check=True)
    return str(folder / "nvml.so")


def test_nvml_is_read_in_its_units(library):
    assert Nvml(library=library)() == Reading(1980, 2619, 350.5, 61, 0x100000004)
    with pytest.raises(OSError, match="no GPU"):
        Nvml(index=1, library=library)


def test_what_was_read_during_the_block_is_summed_up():
    clocks, last = iter([1980, 1200]), threading.Event()

    def read():
        clock = next(clocks, 1500)
        if clock == 1500:
            last.set()
        return Reading(clock, 2619, 300.0, 60, 0x4 | 0x1)

    with gpu_load(read, interval_s=0.001) as found:
        assert found == []
        last.wait(60)
    (load,) = found
    assert load.readings >= 3
    assert (load.sm_mhz[0], load.sm_mhz[2]) == (1200, 1980)
    assert (load.power_w, load.temperature_c, load.slowed_by) == (300.0, 60, ("power cap",))


def test_without_a_gpu_nothing_is_said(monkeypatch):
    monkeypatch.setattr("x3ddeploy.timing.gpu_load._LIBRARY", "libnone.so")
    monkeypatch.setattr(Nvml.__init__, "__defaults__", (0, "libnone.so"))
    with gpu_load() as found:
        pass
    assert found == []


def test_what_a_run_tells_of_its_device_is_kept_beside_the_hosts_clock():
    device = itertools.count(1.0)
    measured = measure({"gpu": lambda: next(device), "cpu": lambda: {"scores": 1.0}}, 0, min_rounds=3, warm_up=2)
    assert measured.device_ms == {"gpu": [3.0, 4.0, 5.0]}
    assert set(measured.samples_ms) == {"gpu", "cpu"}


def test_a_clock_that_has_to_rise_is_given_time_before_the_first_round():
    now, runs = itertools.count(), []
    measured = measure({"a": lambda: runs.append(1)}, 0, clock=lambda: 0.1 * next(now), min_rounds=3, warm_up_s=0.5)
    assert len(measured.samples_ms["a"]) == 3
    assert len(runs) - 3 >= 5
