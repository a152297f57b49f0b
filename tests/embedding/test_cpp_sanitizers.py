"""The runtime's own tests under the address, undefined-behaviour and thread sanitizers; mutated manifests."""

import json
import subprocess

import pytest
from support.cpp_project import CPP, FEWER_COMPILATIONS, WITHOUT_RUNTIMES, configure_and_build, require_tools

# OpenVINO's libraries are not instrumented, and would only be noise: a fake runtime stands in for them.
ARGUMENTS = [
    *WITHOUT_RUNTIMES,
    "-DCMAKE_BUILD_TYPE=Debug",
    "-DX3DDEPLOY_BUILD_TESTS=ON",
    "-DX3DDEPLOY_BUILD_EXAMPLES=OFF",
    *FEWER_COMPILATIONS,
]
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


def linking_works(compiler, sanitizer, folder):
    (folder / "main.cpp").write_text("int main() {}")
    command = [compiler, f"-fsanitize={sanitizer}", "main.cpp", "-o", "main"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


# Of the undefined behaviour that GCC finds, null pointers, alignment, objects' sizes and wrong types are left out: a
# quarter of what is compiled, and mostly found by the address sanitizer. `make cpp-fuzz` has them all.
UNDEFINED = (
    "bool,bounds,builtin,enum,integer-divide-by-zero,nonnull-attribute,pointer-overflow,return,"
    "returns-nonnull-attribute,shift,signed-integer-overflow,unreachable,vla-bound"
)
# Sanitizers -> the optimisation that compiles fastest with them. A report names functions; lines need a build with -g.
SANITIZERS = {f"address,{UNDEFINED}": "-O0", "thread": "-Og"}
THREADED = ("x3ddeploy_session_tests", "x3ddeploy_tensorrt_tests")


@pytest.mark.parametrize("sanitizer", SANITIZERS, ids=["address,undefined", "thread"])
def test_the_runtime_is_clean(sanitizer, bundle, tmp_path):
    if not linking_works(require_tools(), sanitizer, tmp_path):
        pytest.skip(f"the compiler cannot link with -fsanitize={sanitizer}")
    # Threads do not meet in readers and arithmetic: those, and the mutations, run where memory is watched.
    fuzzes = sanitizer.startswith("address")
    arguments = [
        *ARGUMENTS,
        f"-DCMAKE_CXX_FLAGS_DEBUG={SANITIZERS[sanitizer]}",
        f"-DX3DDEPLOY_SANITIZE={sanitizer}",
        f"-DX3DDEPLOY_BUILD_FUZZERS={'ON' if fuzzes else 'OFF'}",
    ]
    tests = ("x3ddeploy_tests", *THREADED) if fuzzes else THREADED
    programs = [*tests, "x3ddeploy_fuzz_manifest"] if fuzzes else tests
    build = configure_and_build(CPP, tmp_path / "build", arguments, programs)
    for program in tests:
        process = subprocess.run([build / "tests" / program], capture_output=True, text=True, check=False)
        assert process.returncode == 0, process.stderr[-4000:]
    if fuzzes:
        manifest = json.loads((bundle / "manifest.json").read_text())
        for name, inputs in {"frames": manifest["inputs"], "skeletons": {"keypoint": SKELETONS}}.items():
            (tmp_path / name).write_text(json.dumps({**manifest, "inputs": inputs}))
            command = [build / "fuzz" / "x3ddeploy_fuzz_manifest", tmp_path / name, str(_MUTATIONS)]
            process = subprocess.run(command, capture_output=True, text=True, check=False)
            assert process.returncode == 0, process.stderr[-4000:]
            assert f"{_MUTATIONS} mutations" in process.stdout
