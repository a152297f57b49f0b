"""Machines that are played: what `sitecustomize` and a package of TensorRT's name make a started Python find there."""

import os
from pathlib import Path

# Packages that are not installed there.
MISSING = """
import os, sys

class Missing:
    names = os.environ.get("MISSING", "").split(",")

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""
NO_GPU = "import x3ddeploy.doctor.probes as p\np.cuda_driver = lambda: {'devices': [], 'problem': 'no NVIDIA driver'}\n"
A_GPU = """
import x3ddeploy.doctor.probes as probes
import x3ddeploy.tensorrt.cuda as cuda
from support.fake_cuda import FakeCuda
GPU = FakeCuda()
probes.cuda_driver = lambda: {
    "driver": "580.1", "devices": [{"name": "Fake GPU", "compute_capability": GPU.compute_capability}], "problem": ""
}
cuda.Cuda = lambda device=0: GPU
"""
TENSORRT = """
import os, signal, sys
import sitecustomize
from support.fake_tensorrt import SHAPES, Module
module = Module(SHAPES[os.environ.get("FAKE_SHAPE", "11")], sitecustomize.GPU)
fault = os.environ.get("FAKE_FAULT", "")
if fault == "broken":
    raise ImportError("libnvinfer.so.11: cannot open shared object file")
if fault == "ignores precision":
    module.ignores_precision = True
if fault == "wrong":
    module.error = 0.3
if fault == "crash":
    def Builder(logger):
        logger.log(logger.Severity.ERROR, "CUDA out of memory")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGSEGV)
    module.Builder = Builder
sys.modules["tensorrt"] = module
"""

GPUS = {"bare": "", "no gpu": NO_GPU}


class Machines:
    """Called with a machine's name, gives the environment that a process of it starts with.

    'no gpu': no driver. 'no tensorrt': a (fake) GPU. 'with tensorrt': both; FAKE_SHAPE names its version, FAKE_FAULT
    what is wrong with it. 'bare': nothing is played. MISSING is a list of packages that are not installed.
    """

    def __init__(self, folder):
        self._folder = folder

    def __call__(self, name, **variables):
        site = self._folder / name
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(MISSING + GPUS.get(name, A_GPU))
        if name == "with tensorrt":
            (site / "tensorrt").mkdir(exist_ok=True)
            (site / "tensorrt" / "__init__.py").write_text(TENSORRT)
        return {
            "PYTHONPATH": os.pathsep.join(map(str, (site, Path(__file__).parents[1], Path(__file__).parents[2]))),
            **variables,
        }
