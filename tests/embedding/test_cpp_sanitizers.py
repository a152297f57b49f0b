"""The runtime's own tests under the address, undefined-behaviour and thread sanitizers; mutated manifests."""

import json
import subprocess

import pytest
from support.cpp_project import CPP, require_tools

# Of the undefined behaviour that GCC finds, null pointers, alignment, objects' sizes and wrong types are left out: a
# quarter of what is compiled, and mostly found by the address sanitizer. `make cpp-fuzz` has them all.
UNDEFINED = (
    "bool,bounds,builtin,enum,integer-divide-by-zero,nonnull-attribute,pointer-overflow,return,"
    "returns-nonnull-attribute,shift,signed-integer-overflow,unreachable,vla-bound"
)
# Sanitizers -> the options that compile fastest with them: each access is checked by a call. A report names functions;
# lines need a build with -g.
SANITIZERS = {
    f"address,{UNDEFINED}": ["-O0", "--param", "asan-instrumentation-with-call-threshold=0"],
    "thread": ["-Og"],
}
_MUTATIONS = 2500
SKELETONS = {
    "kind": "skeleton",
    "shape": ["N", 2, 8, 17, 3],
    "dtype": "float32",
    "pipeline": [
        {"type": "PreNormalize2D", "parameters": {}},
        {"type": "GenSkeFeat", "parameters": {"dataset": "coco", "feats": ["j"]}},
        {"type": "UniformSampleFrames", "parameters": {"clip_len": 8}},
        {"type": "PoseDecode", "parameters": {}},
        {"type": "FormatGCNInput", "parameters": {"num_person": 2}},
    ],
}
# OpenVINO's libraries are not instrumented, and would only be noise: a fake runtime stands in for them, and one that is
# played for TensorRT.
NOT_INSTRUMENTED = {"openvino_backend", "onnxruntime_backend"}
OWN_PROGRAMS = {"fit", "prepare", "test_main"}
# Threads do not meet in readers and arithmetic. Their tests use the library's inner names, and so come last.
WITHOUT_THREADS = ("engines", "json", "manifest", "scores", "sha256", "pixels", "preprocess")
MUTATOR = """
#define LLVMFuzzerTestOneInput read_manifest
#include "fuzz/manifest_fuzzer.cpp"
#define main read_mutations
#include "fuzz/mutate.cpp"
#undef main
int main(int count, char** words) { return count > 1 ? read_mutations(count, words) : check::run_all(); }
"""
ARGUMENTS = [
    *("-std=c++17", "-pthread", "-w", "-ffp-contract=off", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"),
    *("--param", "ggc-min-expand=400", "--param", "ggc-min-heapsize=1000000"),
    *(f"-I{CPP / folder}" for folder in ("tests/played_gpu", "tests", "include", "src", ".")),
    *(f"-D{name}" for name in ("X3DDEPLOY_BUILDING", "X3DDEPLOY_WITH_ONNXRUNTIME", "X3DDEPLOY_WITH_TENSORRT")),
]


def everything(has_readers):
    """The library, the fakes and the tests as one file: most of the work is for the standard library, done once."""
    library = {path.stem: path for path in (CPP / "src").glob("*.cpp") if path.stem not in NOT_INSTRUMENTED}
    tests = {path.stem: path for path in (CPP / "tests").rglob("*.cpp") if path.stem not in OWN_PROGRAMS}
    last = [tests.pop(f"test_{name}") for name in WITHOUT_THREADS]
    # Behind CUDA's headers a stream is another thing.
    files = sorted(library.values(), key=lambda path: (path.stem.startswith("tensorrt"), path.stem))
    files += sorted(tests.values(), key=lambda path: path.stem)
    return "".join(f'#include "{path}"\n' for path in (*files, *(last if has_readers else ()))) + MUTATOR


def linking_works(compiler, sanitizer, folder):
    (folder / "main.cpp").write_text("int main() {}")
    command = [compiler, f"-fsanitize={sanitizer}", "main.cpp", "-o", "main"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("sanitizer", SANITIZERS, ids=["address,undefined", "thread"])
def test_the_runtime_is_clean(sanitizer, bundle, tmp_path):
    compiler = require_tools()
    if not linking_works(compiler, sanitizer, tmp_path):
        pytest.skip(f"the compiler cannot link with -fsanitize={sanitizer}")
    watches_memory = sanitizer.startswith("address")
    (tmp_path / "everything.cpp").write_text(everything(watches_memory))

    def done(*command):
        process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert process.returncode == 0, process.stdout[-1000:] + process.stderr[-4000:]
        return process

    options = [*ARGUMENTS, f"-fsanitize={sanitizer}", *SANITIZERS[sanitizer]]
    done(compiler, *options, "everything.cpp", "-o", "everything")
    assert "the_gpus_own_clock_is_told" in done("./everything").stderr
    if watches_memory:
        manifest = json.loads((bundle / "manifest.json").read_text())
        for name, inputs in {"frames": manifest["inputs"], "skeletons": {"keypoint": SKELETONS}}.items():
            (tmp_path / name).write_text(json.dumps({**manifest, "inputs": inputs}))
            assert f"{_MUTATIONS} mutations" in done("./everything", name, str(_MUTATIONS)).stdout
