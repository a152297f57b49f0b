import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.documents import of_its_type

import x3ddeploy
from x3ddeploy.child_process import run_probe
from x3ddeploy.doctor.capabilities import Status, find_capabilities, find_faults
from x3ddeploy.doctor.install import Gpu, Installer
from x3ddeploy.doctor.packages import PACKAGES, Package, Requirements, State, find_package
from x3ddeploy.doctor.report import examine
from x3ddeploy.doctor.text import render

REPOSITORY = Path(x3ddeploy.__file__).parents[1]
PROBES = "x3ddeploy.doctor.probes"
NO_GPU = Gpu(None, None, (), "no NVIDIA driver")
H100 = Gpu("580.1", "13.0", ({"name": "H100", "compute_capability": "9.0", "memory_bytes": 80 << 30},), "")
RANGES = Requirements({"onnx": ">=1.16", "torch": ">=2.4", "onnxruntime": ">=1.18"}, frozenset({"rich"}), "")


# --- this environment ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report(diagnosed):
    """The report of `x3ddeploy doctor --json` here, where the core is installed (the other tests need it too)."""
    assert diagnosed.returncode == 0, diagnosed.stderr
    return of_its_type("doctor", diagnosed.stdout)


def test_json_holds_every_section_with_a_schema_version(report):
    assert report["schema_version"] == 1
    assert set(report) == {
        "schema_version",
        "x3ddeploy",
        "core_works",
        "system",
        "gpu",
        "packages",
        "versions_unchecked",
        "capabilities",
        "faults",
        "traps",
    }
    assert report["core_works"] is True


def test_system_tells_the_cores_that_may_be_used(report):
    system = report["system"]
    assert system["cores_usable"] == len(os.sched_getaffinity(0))
    assert system["directory"] == str(Path.cwd())
    assert system["directory_writable"] is True
    assert 0 < system["memory_available_bytes"] <= system["memory_bytes"]


def test_versions_are_those_of_the_metadata(report):
    for package in report["packages"]:
        for distribution, version in package["installed"].items():
            assert version == importlib.metadata.version(distribution)


def test_onnxruntime_names_the_providers_that_really_opened(report):
    facts = {package["name"]: package["facts"] for package in report["packages"]}["onnxruntime"]
    assert "CPUExecutionProvider" in facts["providers_opened"]
    assert set(facts["providers_opened"]) <= set(facts["providers_offered"])


def test_every_capability_has_a_status_and_a_reason(report):
    assert all(capability["status"] in {"ok", "limited", "missing"} for capability in report["capabilities"])
    assert all(capability["reason"] for capability in report["capabilities"])
    assert report["capabilities"][0]["name"] == "export"


def test_all_verbs_but_its_own_and_no_others_are_spoken_of(report):
    from x3ddeploy.cli.main import VERBS

    spoken_of = {capability["name"].partition(",")[0] for capability in report["capabilities"]}
    assert spoken_of == set(VERBS) - {"doctor"}


def test_known_packages_cover_what_the_project_requires():
    """The pyproject.toml of this checkout is read: what is installed may have been declared by an older one."""
    toml = pytest.importorskip("tomllib")
    project = toml.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for_users = [lines for extra, lines in project["optional-dependencies"].items() if extra != "dev"]
    requirements = [Requirement(line) for lines in (project["dependencies"], *for_users) for line in lines]
    required = {
        canonicalize_name(requirement.name)
        for requirement in requirements
        if not requirement.marker or requirement.marker.evaluate()
    }
    known = {name for package in PACKAGES for name in package.distributions or (package.name,)}
    assert required - {"x3ddeploy"} <= known


def test_importing_doctor_imports_nothing_heavy():
    code = (
        "import sys, x3ddeploy.cli.doctor; "
        "print(sorted({'torch', 'onnx', 'numpy', 'onnxruntime', 'rich', 'msgspec', 'openvino'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


# --- absences: a Python that sees nothing but click and what a test gives it -----------------------------------------


def _bare_doctor(site: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import click

    site.mkdir(exist_ok=True)
    (site / "click").symlink_to(Path(click.__file__).parent)
    (site / "x3ddeploy").symlink_to(REPOSITORY / "x3ddeploy")
    return subprocess.run(
        [sys.executable, "-S", "-m", "x3ddeploy", "doctor", *arguments],
        env={**os.environ, "PYTHONPATH": str(site), **environment},
        cwd=site,
        capture_output=True,
        text=True,
        timeout=60,
    )


def _install_fake(site: Path, module: str, distribution: str, version: str, code: str) -> None:
    (site / module).mkdir(parents=True)
    (site / module / "__init__.py").write_text(code)
    _add_metadata(site, distribution, version)


def _add_metadata(site: Path, distribution: str, version: str, *lines: str) -> None:
    folder = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    text = "\n".join(["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}", *lines])
    (folder / "METADATA").write_text(text + "\n")


def test_nothing_installed_exits_with_4_and_names_the_installs(tmp_path):
    result = _bare_doctor(tmp_path / "site")
    assert result.returncode == 4
    assert "error: export cannot run here: not installed: torch, numpy, onnx, msgspec, onnxruntime" in result.stderr
    assert "pip install torch numpy onnx msgspec onnxruntime" in result.stdout
    assert "versions not compared" in result.stdout
    assert "Traceback" not in result.stderr


def test_nothing_installed_still_gives_json(tmp_path):
    result = _bare_doctor(tmp_path / "site", "--json")
    assert result.returncode == 4
    found = json.loads(result.stdout)
    assert found["core_works"] is False
    assert {package["name"]: package["state"] for package in found["packages"]}["rich"] == "missing"


def test_own_metadata_gives_the_versions_to_install(tmp_path):
    site = tmp_path / "site"
    _add_metadata(site, "x3ddeploy", "0.1.0", "Requires-Dist: torch>=2.4", "Requires-Dist: rich>=13")
    result = _bare_doctor(site, "--json")
    found = json.loads(result.stdout)
    assert "'torch>=2.4'" in found["capabilities"][0]["install"]
    assert {"message": "rich is not installed", "fix": "pip install 'rich>=13'"} in found["faults"]
    assert "packaging" in found["versions_unchecked"]


def test_package_that_fails_to_import_is_broken_and_the_core_missing(tmp_path):
    site = tmp_path / "site"
    _install_fake(site, "torch", "torch", "2.9.0", "raise ImportError('libtorch_cpu.so: cannot open shared object')")
    result = _bare_doctor(site, "--json")
    assert result.returncode == 4
    found = json.loads(result.stdout)
    torch = next(package for package in found["packages"] if package["name"] == "torch")
    assert torch["state"] == "broken"
    assert torch["problem"] == "ImportError: libtorch_cpu.so: cannot open shared object"
    assert "pip install --force-reinstall torch" in [fault["fix"] for fault in found["faults"]]


def test_ascii_terminal_does_not_break_the_output(tmp_path):
    site = tmp_path / "größe"
    result = _bare_doctor(site, PYTHONIOENCODING="ascii")
    assert result.returncode == 4
    assert "UnicodeEncodeError" not in result.stderr
    assert "gr\\xf6\\xdfe" in result.stdout.replace("\n", "")


# --- probes that go wrong --------------------------------------------------------------------------------------------


@pytest.fixture
def bad_probes(tmp_path, monkeypatch):
    (tmp_path / "bad_probes.py").write_text(
        "import os, signal, time\n"
        "def crash(): os.kill(os.getpid(), signal.SIGSEGV)\n"
        "def hang(): time.sleep(600)\n"
        "def leave(): os._exit(7)\n"
        "def chatter():\n"
        "    print('welcome to a library')\n"
        "    os.write(1, b'from C')\n"
        "    return {'answer': 42}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)


def _examine_with_torch_probe(probe: str, timeout_s: float = 30):
    known = [replace(item, probe=probe if item.name == "torch" else "") for item in PACKAGES]
    return examine(known, timeout_s)


def test_probe_that_segfaults_becomes_a_finding(bad_probes, tmp_path):
    report = _examine_with_torch_probe("bad_probes:crash")
    assert not report.core_works
    assert "crashed with SIGSEGV" in report.core.reason
    assert any("crashed with SIGSEGV" in fault.message for fault in report.faults)
    assert not list(tmp_path.glob("core*"))


def test_probe_that_hangs_becomes_a_finding(bad_probes):
    outcome = run_probe("bad_probes:hang", timeout_s=0.5)
    assert outcome.problem == "no answer within 0.5 s"


def test_probe_that_leaves_becomes_a_finding(bad_probes):
    assert run_probe("bad_probes:leave", timeout_s=30).problem == "ended with exit code 7"


def test_what_a_library_prints_is_not_the_answer(bad_probes):
    outcome = run_probe("bad_probes:chatter", timeout_s=30)
    assert outcome.facts == {"answer": 42}
    assert "from C" in outcome.log


# --- the CUDA driver -------------------------------------------------------------------------------------------------

DRIVER = r"""
#include <stddef.h>
#include <string.h>
int cuInit(unsigned flags) { INIT }
int cuDriverGetVersion(int *version) { *version = 12080; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal + 5; return 0; }
int cuDeviceGetName(char *name, int length, int device) { strncpy(name, "Test GPU", length); return device != 5; }
int cuDeviceGetAttribute(int *value, int attribute, int device) { *value = attribute == 75 ? 8 : 6; return 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = 48ull << 30; return 0; }
int cuGetErrorString(int code, const char **text) { *text = "no CUDA-capable device is detected"; return 0; }
"""


@pytest.fixture
def install_driver(tmp_path, monkeypatch):
    """Build a libcuda.so.1 whose cuInit does as told, where the loader finds it first."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")

    def install(init: str) -> None:
        source = tmp_path / "driver.c"
        source.write_text(DRIVER.replace("INIT", init))
        subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / "libcuda.so.1", source], check=True)
        monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))

    return install


def test_driver_with_a_gpu_is_described(install_driver):
    install_driver("return 0;")
    facts = run_probe(f"{PROBES}:cuda_driver", timeout_s=30).facts
    assert facts["cuda"] == "12.8"
    assert facts["devices"] == [{"name": "Test GPU", "compute_capability": "8.6", "memory_bytes": 48 << 30}]
    assert facts["problem"] == ""


def test_driver_without_a_gpu_gives_its_reason(install_driver):
    install_driver("return 100;")
    facts = run_probe(f"{PROBES}:cuda_driver", timeout_s=30).facts
    assert facts["devices"] == []
    assert facts["problem"] == "the CUDA driver says: no CUDA-capable device is detected (100)"


def test_driver_that_crashes_leaves_a_report(install_driver):
    install_driver("*(volatile int *)0 = 0; return 0;")
    report = examine([replace(item, probe="") for item in PACKAGES])
    assert report.gpu.devices == ()
    assert report.gpu.problem == "asking the CUDA driver failed: crashed with SIGSEGV"


# --- rules -----------------------------------------------------------------------------------------------------------


def _packages(**changes: Package) -> dict[str, Package]:
    packages = {known.name: Package(known, State.OK, {known.name: "9.9"}) for known in PACKAGES}
    return packages | {package.known.name: package for package in changes.values()}


def _known(name: str):
    return next(known for known in PACKAGES if known.name == name)


def _capability(name: str, packages: dict[str, Package], gpu: Gpu = NO_GPU):
    found = {item.name: item for item in find_capabilities(packages, Installer(RANGES, gpu))}
    return found[name]


def test_both_onnxruntime_packages_are_a_fault(tmp_path, monkeypatch):
    for distribution in ("onnxruntime", "onnxruntime-gpu"):
        _add_metadata(tmp_path, distribution, "1.31.0")
    monkeypatch.syspath_prepend(tmp_path)
    package = find_package(_known("onnxruntime"), RANGES)
    assert package.installed == {"onnxruntime": "1.31.0", "onnxruntime-gpu": "1.31.0"}

    (fault,) = find_faults(_packages(ort=package), Installer(RANGES, NO_GPU))
    assert "onnxruntime 1.31.0 and onnxruntime-gpu 1.31.0 are both installed" in fault.message
    assert fault.fix == "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'onnxruntime>=1.18'"
    assert _capability("verify, ONNX Runtime", _packages(ort=package)).status is Status.LIMITED
    assert _capability("export", _packages(ort=package)).status is Status.OK


def test_version_outside_the_required_range_stops_the_core(tmp_path, monkeypatch):
    _add_metadata(tmp_path, "onnx", "1.12.0")
    monkeypatch.syspath_prepend(tmp_path)
    package = find_package(_known("onnx"), RANGES)
    assert package.state is State.UNSUPPORTED
    export = _capability("export", _packages(onnx=package))
    assert export.status is Status.MISSING
    assert export.reason == "onnx 1.12.0 is not >=1.16"
    assert export.install == "pip install 'onnx>=1.16'"


def test_leftover_folder_of_an_uninstalled_package_does_not_count(tmp_path, monkeypatch):
    (tmp_path / "tensorrt_rtx").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    if importlib.metadata.packages_distributions().get("tensorrt_rtx"):
        pytest.skip("TensorRT-RTX is installed")
    assert find_package(_known("tensorrt-rtx"), RANGES).state is State.MISSING


def test_cuda_provider_that_fell_back_is_named_with_the_lost_library():
    log = (
        "[E:onnxruntime:Default] [ONNXRuntimeError] : 1 : FAIL : Failed to load library /a/capi/"
        "libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object file: No such file"
    )
    package = Package(
        _known("onnxruntime"),
        State.OK,
        {"onnxruntime-gpu": "1.31.1"},
        facts={
            "providers_offered": ["CUDAExecutionProvider", "CPUExecutionProvider"],
            "providers_opened": ["CPUExecutionProvider"],
        },
        log=log,
    )
    capability = _capability("verify, ONNX Runtime", _packages(ort=package), H100)
    assert capability.status is Status.LIMITED
    assert "CUDA falls back to the CPU (libcublasLt.so.13 not found)" in capability.reason
    assert capability.install == "pip install 'onnxruntime-gpu[cuda,cudnn]'"


@pytest.mark.parametrize(("gpu", "wheel"), [(NO_GPU, "'onnxruntime>=1.18'"), (H100, "onnxruntime-gpu")])
def test_missing_onnxruntime_is_offered_for_the_hardware(gpu, wheel):
    package = Package(_known("onnxruntime"), State.MISSING, problem="is not installed")
    assert _capability("export", _packages(ort=package), gpu).install == f"pip install {wheel}"


def test_missing_openvino_limits_bench_and_stops_its_verification():
    packages = _packages(ov=Package(_known("openvino"), State.MISSING, problem="is not installed"))
    bench = _capability("bench", packages)
    assert (bench.status, bench.install) == (Status.LIMITED, "pip install 'x3ddeploy[openvino]'")
    assert _capability("verify, OpenVINO", packages).status is Status.MISSING
    assert _capability("export", packages).status is Status.OK


@pytest.mark.parametrize(
    ("missing_module", "install"),
    [
        ("importlib_metadata", "pip install importlib-metadata"),
        ("PIL", "pip install mmaction2"),  # pip adds what is missing; a module's name may not be its package's
        ("mmaction.models", "pip install --force-reinstall mmaction2"),
    ],
)
def test_broken_package_is_repaired_by_what_it_lacks(missing_module, install):
    package = Package(
        _known("mmaction2"), State.BROKEN, {"mmaction2": "1.2.0"}, problem="x", missing_module=missing_module
    )
    assert _capability("bench, RGBPoseConv3D", _packages(mm=package)).install == install


def test_mmaction_wheel_without_drn_is_mentioned_only_then():
    whole = Package(_known("mmaction2"), State.OK, {"mmaction2": "1.2.0"}, facts={"lacks_drn": False})
    cut = replace(whole, facts={"lacks_drn": True})
    assert "drn" not in _capability("bench, RGBPoseConv3D", _packages(mm=whole)).reason
    assert "drn" in _capability("bench, RGBPoseConv3D", _packages(mm=cut)).reason


@pytest.mark.parametrize(("cuda", "wheel"), [("13.0", "tensorrt-cu13"), ("12.8", "tensorrt-cu12")])
def test_tensorrt_is_offered_from_its_index_where_there_is_a_gpu(cuda, wheel):
    packages = _packages(trt=Package(_known("tensorrt"), State.MISSING, problem="is not installed"))
    with_gpu = _capability("build-trt, TensorRT", packages, replace(H100, cuda=cuda))
    assert with_gpu.install == f"pip install --extra-index-url https://pypi.nvidia.com {wheel}"
    assert _capability("build-trt, TensorRT", packages, NO_GPU).install == ""


def test_tensorrt_without_a_gpu_is_limited():
    package = Package(_known("tensorrt"), State.OK, {"tensorrt": "11.4"}, facts={"builds": False})
    capability = _capability("build-trt, TensorRT", _packages(trt=package))
    assert capability.status is Status.LIMITED
    assert "no GPU" in capability.reason


# --- the text --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [60, 80, 110])
def test_text_keeps_to_the_width_and_needs_no_colour(width, bad_probes):
    report = _examine_with_torch_probe("bad_probes:leave")
    lines = render(report, width)
    commands = [item.install for item in report.capabilities] + [fault.fix for fault in report.faults]
    long = [line.text for line in lines if len(line.text) > width]
    assert all(text.strip() in commands for text in long)
    text = "\n".join(line.text for line in lines)
    assert text.isascii()
    assert "! broken" in text
    assert "- missing  export" in text
    for command in filter(None, commands):
        assert command in text
