"""The runtime's own tests under the address, undefined-behaviour and thread sanitizers; mutated manifests."""

import subprocess

import pytest
from support.cpp_project import CPP, FEWER_COMPILATIONS, WITHOUT_RUNTIMES, configure_and_build, require_tools

# OpenVINO's libraries are not instrumented, and would only be noise: a fake runtime stands in for them.
ARGUMENTS = [
    *WITHOUT_RUNTIMES,
    "-DCMAKE_BUILD_TYPE=Debug",
    "-DCMAKE_CXX_FLAGS_DEBUG=-O0",  # a report names functions; who wants lines builds with -g
    "-DX3DDEPLOY_BUILD_TESTS=ON",
    "-DX3DDEPLOY_BUILD_EXAMPLES=OFF",
    FEWER_COMPILATIONS,
]
_MUTATIONS = 5000


def linking_works(compiler, sanitizer, folder):
    (folder / "main.cpp").write_text("int main() {}")
    command = [compiler, f"-fsanitize={sanitizer}", "main.cpp", "-o", "main"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_the_runtime_is_clean(sanitizer, bundle, tmp_path):
    if not linking_works(require_tools(), sanitizer, tmp_path):
        pytest.skip(f"the compiler has no {sanitizer} sanitizer")
    # Threads do not meet in the manifest's reader: the mutations run where memory is watched.
    fuzzes = sanitizer.startswith("address")
    arguments = [
        *ARGUMENTS,
        # The address sanitizer finds them as well, and these checks are a fifth of what is compiled.
        *(["-DCMAKE_CXX_FLAGS=-fno-sanitize=null,vptr"] if fuzzes else []),
        f"-DX3DDEPLOY_SANITIZE={sanitizer}",
        f"-DX3DDEPLOY_BUILD_FUZZERS={'ON' if fuzzes else 'OFF'}",
    ]
    tests = ("x3ddeploy_tests", "x3ddeploy_tensorrt_tests")
    programs = [*tests, "x3ddeploy_fuzz_manifest"] if fuzzes else tests
    build = configure_and_build(CPP, tmp_path / "build", arguments, programs)
    for program in tests:
        process = subprocess.run([build / "tests" / program], capture_output=True, text=True, check=False)
        assert process.returncode == 0, process.stderr[-4000:]
    if fuzzes:
        command = [build / "fuzz" / "x3ddeploy_fuzz_manifest", bundle / "manifest.json", str(_MUTATIONS)]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        assert process.returncode == 0, process.stderr[-4000:]
        assert f"{_MUTATIONS} mutations" in process.stdout
