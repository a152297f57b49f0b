"""The ctypes calls of the CUDA driver, against a driver of one file that keeps its memory on the host."""

import os
import shutil
import subprocess
import sys

import pytest

DRIVER = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
typedef unsigned long long address;
typedef void *handle;
static int captures, launches, freed;
static void say(const char *text) { printf("%s\n", text); fflush(stdout); }
int cuInit(unsigned flags) { return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal + 5; return ordinal ? 101 : 0; }
int cuDevicePrimaryCtxRetain(handle *context, int device) { *context = (handle)0x7000000000000001; return device != 5; }
int cuCtxSetCurrent(handle context) { return context != (handle)0x7000000000000001; }
int cuDeviceGetName(char *name, int length, int device) { strncpy(name, "Test GPU", length); return device != 5; }
int cuDeviceGetAttribute(int *value, int which, int device) { *value = which == 75 ? 12 : 0; return device != 5; }
int cuGetErrorString(int code, const char **text) { *text = code == 2 ? "out of memory" : "invalid"; return 0; }
int cuMemAlloc_v2(address *p, size_t size) { if (size > 1 << 30) return 2; *p = (address)calloc(1, size); return 0; }
int cuMemFree_v2(address p) { free((void *)p); freed++; return 0; }
int cuMemHostAlloc(handle *p, size_t size, unsigned flags) { *p = calloc(1, size); return 0; }
int cuMemFreeHost(handle p) { free(p); freed++; return 0; }
int cuStreamCreate(handle *stream, unsigned flags) { *stream = (handle)(0x6000000000000000 + flags); return 0; }
int cuStreamDestroy_v2(handle stream) { say("stream destroyed"); return 0; }
int cuStreamSynchronize(handle stream) { return stream != (handle)0x6000000000000001; }
int cuEventCreate(handle *event, unsigned flags) { *event = (handle)(0x5000000000000000 + flags); return 0; }
int cuEventDestroy_v2(handle event) { return 0; }
int cuEventElapsedTime(float *ms, handle start, handle end) { *ms = 1.5f;
  return start != (handle)0x5000000000000000 || end != start ? 400 : 0; }
int cuEventRecord(handle event, handle stream) { return ((unsigned long long)event | 2) != 0x5000000000000002; }
int cuStreamWaitEvent(handle stream, handle event, unsigned flags) { return flags; }
int cuMemcpyHtoDAsync_v2(address to, const void *from, size_t n, handle s) { memcpy((void *)to, from, n); return 0; }
int cuMemcpyDtoHAsync_v2(void *to, address from, size_t n, handle s) { memcpy(to, (void *)from, n); return 0; }
int cuStreamBeginCapture_v2(handle stream, int mode) { captures++; return mode != 1; }
int cuStreamEndCapture(handle stream, handle *graph) { captures--; *graph = (handle)0x4000000000000001; return 0; }
int cuGraphInstantiateWithFlags(handle *e, handle g, unsigned long long flags) { *e = (handle)0x3000000000000001;
  return g != (handle)0x4000000000000001; }
int cuGraphDestroy(handle graph) { return graph != (handle)0x4000000000000001; }
int cuGraphLaunch(handle e, handle stream) { launches++; return e != (handle)0x3000000000000001; }
int cuGraphExecDestroy(handle e) { return 0; }
int counted(int what) { return what == 0 ? captures : what == 1 ? launches : freed; }
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("driver")
    (folder / "driver.c").write_text(DRIVER)
    subprocess.run([compiler, "-w", "-shared", "-fPIC", "-o", folder / "libcuda.so.1", folder / "driver.c"], check=True)
    return folder


@pytest.fixture
def with_driver(driver):
    """Run code in a process that finds this driver."""

    def run(code):
        return subprocess.run(
            [sys.executable, "-c", f"from x3ddeploy.tensorrt.cuda import *\nimport ctypes\n{code}"],
            env={**os.environ, "LD_LIBRARY_PATH": str(driver)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def test_the_gpu_is_described(with_driver):
    process = with_driver("cuda = Cuda(); print(cuda.name, cuda.compute_capability)")
    assert process.stdout.strip() == "Test GPU 12.0", process.stderr


def test_values_survive_the_way_to_the_gpu_and_back(with_driver):
    process = with_driver(
        "cuda = Cuda(); stream = cuda.stream()\n"
        "a, b = (cuda.allocate_pinned((2, 3), 'float32') for _ in range(2))\n"
        "memory = cuda.allocate(24)\n"
        "a.array[...] = np.arange(6).reshape(2, 3)\n"
        "stream.to_device(memory.address, a.address, 24); stream.to_host(b.address, memory.address, 24)\n"
        "stream.synchronize(); print(b.array.tolist())"
    )
    assert process.stdout.splitlines()[0] == "[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]", process.stderr


def test_streams_wait_for_events(with_driver):
    process = with_driver(
        "cuda = Cuda(); first, second, event = cuda.stream(), cuda.stream(), cuda.event()\n"
        "first.record(event); second.wait(event)\n"
        "start, end = (cuda.event(timing=True) for _ in range(2))\n"
        "first.record(start); first.record(end); print(end.ms_since(start))\n"
        "event.ms_since(start)"
    )
    assert process.stdout.startswith("1.5"), process.stderr
    assert "cuEventElapsedTime failed" in process.stderr  # a mark that keeps no time


def test_recorded_work_is_launched(with_driver):
    process = with_driver(
        "cuda = Cuda(); stream = cuda.stream()\n"
        "with stream.capture() as captured: pass\n"
        "stream.launch(captured[0]); stream.launch(captured[0])\n"
        "print(cuda._driver.counted(0), cuda._driver.counted(1))"
    )
    assert process.stdout.splitlines()[0] == "0 2", process.stderr


def test_an_error_while_recording_leaves_no_stream_recording(with_driver):
    process = with_driver(
        "cuda = Cuda(); stream = cuda.stream()\n"
        "try:\n"
        "    with stream.capture(): raise ValueError\n"
        "except ValueError: print(cuda._driver.counted(0))"
    )
    assert process.stdout.splitlines()[0] == "0", process.stderr


def test_memory_is_freed_with_its_object(with_driver):
    process = with_driver(
        "cuda = Cuda(); a, b = cuda.allocate(8), cuda.allocate_pinned((2,), 'float16'); del a, b\n"
        "print(cuda._driver.counted(2))"
    )
    assert process.stdout.strip() == "2", process.stderr


def test_another_librarys_stream_is_not_destroyed(with_driver):
    process = with_driver("cuda = Cuda(); Stream.foreign(cuda, 0x6000000000000001).synchronize(); print('end')")
    assert process.stdout.strip() == "end", process.stderr


def test_a_refusal_of_the_driver_is_told_in_its_words(with_driver):
    process = with_driver("Cuda().allocate(1 << 31)")
    assert "CudaError: cuMemAlloc_v2 failed: out of memory (2)" in process.stderr


def test_no_driver_is_a_missing_requirement():
    code = (
        "import ctypes\n"
        "def refuse(name): raise OSError('libcuda.so.1: not found')\n"
        "ctypes.CDLL = refuse\n"
        "from x3ddeploy.tensorrt.cuda import Cuda\n"
        "from x3ddeploy.errors import MissingRequirementError\n"
        "try: Cuda()\n"
        "except MissingRequirementError as error: print(error.exit_code, error)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stdout.startswith("4 no NVIDIA driver: libcuda.so.1: not found"), process.stderr
