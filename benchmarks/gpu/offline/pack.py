"""TensorRT 8.6 with a Python of its own, for a GPU host that reaches no package index: packed here, carried in pieces.

    python benchmarks/gpu/offline/pack.py DIRECTORY [--python python3.10] [--piece-mb 60]

DIRECTORY gets pieces of one archive, their checksums, and `unpack.sh`, which puts all together on the host. Inside are
a Python 3.10 that runs from any folder, the `tensorrt` wheel (8.6.0 is the one on PyPI that has its builder in it), and
what `x3ddeploy build-trt` needs besides. The wheel asks for cuBLAS 12 and cuDNN 8, a gigabyte more, only because its
plugin library is linked with them. Stand-ins whose functions report a failure satisfy the linker; `build-trt` leaves
those libraries out of its choice of kernels. Where the host has the real ones on LD_LIBRARY_PATH, they are found first.

Needs Linux on x86-64 with a glibc no newer than the host's, a Python 3.10 with pip, binutils, gcc and xz; 7 GB of disk.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

TENSORRT = "tensorrt==8.6.0"
# What build-trt imports. Bindings of that age are for numpy 1, whose arrays have another layout than numpy 2's.
PACKAGES = ("numpy>=1.26,<2", "onnx", "msgspec", "click", "rich")
# Stand-ins lie where the wheels of the real libraries would put them: TensorRT's own search path leads there.
STAND_INS = {
    "cublas/lib/libcublas.so.12": r"cublas(?!Lt)\w+",
    "cublas/lib/libcublasLt.so.12": r"cublasLt\w+",
    "cudnn/lib/libcudnn.so.8": r"cudnn\w+",
}
CHECKSUMS = "SHA256SUMS"
_NOT_INITIALIZED = 1  # CUBLAS_STATUS_NOT_INITIALIZED and CUDNN_STATUS_NOT_INITIALIZED
_UNUSED = (
    "test",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "lib2to3",
    "site-packages",
    "config-3.10*",
    "_tkinter*",
)
# Every Linux has these, and another glibc than the loader's own ends in a crash.
_SYSTEM = re.compile(r"(ld-linux|lib(c|m|dl|rt|pthread|util|resolv|nsl|crypt)\.so)")


def main() -> None:
    """Pack everything into the directory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--python", default="python3.10", help="a Python 3.10 with pip")
    parser.add_argument("--piece-mb", type=int, default=60)
    arguments = parser.parse_args()
    directory: Path = arguments.directory
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        root = Path(folder) / "tensorrt-8.6"
        copy_python(arguments.python, root)
        site = root / "lib" / "python3.10" / "site-packages"
        install(arguments.python, site)
        write_stand_ins(site)
        write_checksums(root, (file for file in sorted(root.rglob("*")) if file.is_file()))
        pieces = archive(root, directory, arguments.piece_mb * 1_000_000)
    write_checksums(directory, pieces)
    shutil.copy2(Path(__file__).with_name("unpack.sh"), directory)
    tell(f"{len(pieces)} pieces in {directory}; on the host: bash unpack.sh FOLDER")


def copy_python(python: str, root: Path) -> None:
    """The interpreter, its standard library, and the libraries that those are linked with, as `bin` and `lib`."""
    query = "import sys; print(sys.version_info[:2] == (3, 10), sys.base_prefix, sep='\\n')"
    is_right, prefix = output(python, "-c", query).splitlines()
    if is_right != "True":
        sys.exit(f"{python} is not Python 3.10, which TensorRT 8.6's bindings are for: give another with --python")
    tell(f"copying Python from {prefix}")
    binaries, libraries = root / "bin", root / "lib"
    binaries.mkdir(parents=True)
    shutil.copy2(Path(prefix) / "bin" / "python3.10", binaries)
    unused = shutil.ignore_patterns("__pycache__", *_UNUSED)
    shutil.copytree(Path(prefix) / "lib" / "python3.10", libraries / "python3.10", ignore=unused)
    modules = (libraries / "python3.10" / "lib-dynload").glob("*.so")
    linked = output("ldd", str(binaries / "python3.10"), *map(str, modules))
    for library in sorted(set(re.findall(r"=> (/\S+)", linked))):
        if not _SYSTEM.match(Path(library).name):
            shutil.copy(library, libraries)


def install(python: str, site: Path) -> None:
    """TensorRT without the CUDA wheels that it names, and the packages with everything that they need."""
    tell(f"installing {TENSORRT}, {', '.join(PACKAGES)}")
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--target")
    subprocess.run([*pip, str(site), *PACKAGES], check=True)
    subprocess.run([*pip, str(site), "--no-deps", TENSORRT], check=True)
    shutil.rmtree(site / "bin", ignore_errors=True)


def write_stand_ins(site: Path) -> None:
    """Libraries with the functions that TensorRT's plugin library names, each of which says 'not initialized'."""
    undefined = output("nm", "-D", "--undefined-only", str(site / "tensorrt" / "libnvinfer_plugin.so.8"))
    symbols = sorted(set(re.findall(r" U (\w+)", undefined)))
    for name, pattern in STAND_INS.items():
        compile_stand_in(site / "nvidia" / name, [symbol for symbol in symbols if re.fullmatch(pattern, symbol)])


def compile_stand_in(library: Path, functions: Iterable[str]) -> None:
    """A shared library whose functions, of the version that its file name is, return an error code."""
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        source, versions = Path(folder) / "functions.c", Path(folder) / "versions.map"
        source.write_text("".join(f"int {name}(void) {{ return {_NOT_INITIALIZED}; }}\n" for name in functions))
        versions.write_text(f"{library.name} {{ global: *; }};\n")
        names = (f"-Wl,-soname,{library.name}", f"-Wl,--version-script={versions}")
        # -w: the compiler knows some of these names, and that they take arguments.
        command = ["gcc", "-shared", "-fPIC", "-w", *names, "-o", str(library), str(source)]
        subprocess.run(command, check=True)


def archive(root: Path, directory: Path, piece_bytes: int) -> list[Path]:
    """`root` as pieces of one compressed archive."""
    tell("compressing")
    for old in directory.glob("piece.*"):
        old.unlink()
    tar, xz = ["tar", "--create", "--directory", str(root), "--owner=0", "--group=0", "."], ["xz", "--threads=0", "-6"]
    with (
        subprocess.Popen(tar, stdout=subprocess.PIPE) as packed,
        subprocess.Popen(xz, stdin=packed.stdout, stdout=subprocess.PIPE) as compressed,
    ):
        assert compressed.stdout is not None
        pieces = cut(compressed.stdout, directory, piece_bytes)
    if packed.returncode or compressed.returncode:
        sys.exit("the archive could not be made")
    return pieces


def cut(stream: IO[bytes], directory: Path, piece_bytes: int) -> list[Path]:
    """A stream as files piece.000, piece.001, ... of at most that many bytes, whose names sort in their order."""
    pieces: list[Path] = []
    while content := stream.read(piece_bytes):
        pieces.append(directory / f"piece.{len(pieces):03d}")
        pieces[-1].write_bytes(content)
    return pieces


def write_checksums(directory: Path, files: Iterable[Path]) -> None:
    """SHA256SUMS of files below the directory, as sha256sum reads it."""
    lines = []
    for path in files:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
        lines.append(f"{digest.hexdigest()}  {path.relative_to(directory)}\n")
    (directory / CHECKSUMS).write_text("".join(lines))


def output(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def tell(text: str) -> None:
    """A line on stderr, at once."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
