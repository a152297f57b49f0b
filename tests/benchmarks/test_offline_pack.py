"""What is carried to a host without internet is whole there, or said not to be."""

import ctypes
import hashlib
import io
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.scripts import module_of

OFFLINE = Path(__file__).parent.parent.parent / "benchmarks" / "gpu" / "offline"
# In the place of the interpreter with TensorRT: says what it was started with.
INTERPRETER = '#!/bin/sh\necho "$LD_LIBRARY_PATH" "$@"\n'


@pytest.fixture(scope="module")
def pack():
    return module_of(OFFLINE / "pack.py")


@pytest.fixture
def packed(pack, tmp_path):
    """Pieces of a small tree, as pack.py leaves them."""
    if not shutil.which("xz"):
        pytest.skip("xz is not installed")
    root, directory = tmp_path / "root", tmp_path / "packed"
    (root / "bin").mkdir(parents=True)
    (root / "lib").mkdir()
    directory.mkdir()
    (root / "bin" / "python3.10").write_text(INTERPRETER)
    (root / "bin" / "python3.10").chmod(0o755)
    (root / "lib" / "weights.so").write_bytes(os.urandom(5000))
    pack.write_checksums(root, [root / "bin" / "python3.10", root / "lib" / "weights.so"])
    pieces = pack.archive(root, directory, 2000)
    pack.write_checksums(directory, pieces)
    shutil.copy2(OFFLINE / "unpack.sh", directory)
    assert len(pieces) > 2
    return root, directory


def unpack(directory, folder):
    command = ["bash", str(directory / "unpack.sh"), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_pieces_join_again_and_the_launcher_starts_the_interpreter(packed, tmp_path):
    root, directory = packed
    process = unpack(directory, tmp_path / "host")
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "host" / "lib" / "weights.so").read_bytes() == (root / "lib" / "weights.so").read_bytes()
    # From anywhere, through a link, and with the user's libraries behind its own.
    (tmp_path / "link").symlink_to(tmp_path / "host" / "python")
    environment = {**os.environ, "LD_LIBRARY_PATH": "/theirs"}
    started = subprocess.run([tmp_path / "link", "a b"], env=environment, capture_output=True, text=True, check=True)
    assert started.stdout == f"{tmp_path / 'host' / 'lib'}:/theirs a b\n"


def test_what_is_unpacked_already_needs_no_pieces_again(packed, tmp_path):
    """The machine is warm from the call before; of another kit nothing is taken for granted."""
    _, directory = packed
    assert unpack(directory, tmp_path / "host").returncode == 0
    for piece in directory.glob("piece.*"):
        piece.unlink()
    again = unpack(directory, tmp_path / "host")
    assert (again.returncode, again.stdout) == (0, f"TRT_PYTHON={tmp_path / 'host' / 'python'}\n")
    with (directory / "SHA256SUMS").open("a") as sums:
        sums.write(f"{'0' * 64}  piece.999\n")
    assert "missing or damaged" in unpack(directory, tmp_path / "host").stderr


@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_damaged_or_missing_piece_is_told_before_anything_is_unpacked(packed, tmp_path, damage):
    _, directory = packed
    piece = directory / "piece.001"
    if damage == "cut":
        piece.write_bytes(piece.read_bytes()[:-1])
    else:
        piece.unlink()
    process = unpack(directory, tmp_path / "host")
    assert process.returncode == 1
    assert "a piece is missing or damaged" in process.stderr
    assert list((tmp_path / "host").iterdir()) == []


def test_pieces_are_no_larger_than_asked_for_and_sort_in_their_order(pack, tmp_path):
    content = os.urandom(12_345)
    pieces = pack.cut(io.BytesIO(content), tmp_path, 1000)
    assert max(piece.stat().st_size for piece in pieces) == 1000
    assert len(pieces) == 13
    assert b"".join(piece.read_bytes() for piece in sorted(tmp_path.iterdir())) == content


def test_checksums_are_sha256sums_own_form(pack, tmp_path):
    (tmp_path / "piece.000").write_bytes(b"content")
    pack.write_checksums(tmp_path, [tmp_path / "piece.000"])
    text = (tmp_path / "SHA256SUMS").read_text()
    assert text == f"{hashlib.sha256(b'content').hexdigest()}  piece.000\n"


@pytest.mark.skipif(not shutil.which("gcc") or not shutil.which("nm"), reason="gcc and binutils are not installed")
def test_stand_ins_satisfy_the_linker_and_report_an_error(pack, tmp_path):
    site = tmp_path / "site"
    (site / "tensorrt").mkdir(parents=True)
    source = tmp_path / "plugin.c"
    source.write_text(
        "int cublasCreate_v2(void *); int cublasLtMatmul(void); int cudnnCreate(void *);\n"
        "int run(void) { return cublasCreate_v2(0) + cublasLtMatmul() + cudnnCreate(0); }\n"
    )
    plugin = site / "tensorrt" / "libnvinfer_plugin.so.8"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(plugin), str(source)], check=True)
    pack.write_stand_ins(site)
    names = {}
    for name in ("cublas/lib/libcublas.so.12", "cublas/lib/libcublasLt.so.12", "cudnn/lib/libcudnn.so.8"):
        library = site / "nvidia" / name
        symbols = pack.output("nm", "-D", "--defined-only", str(library))
        names[library.name] = {line.split()[-1] for line in symbols.splitlines() if " T " in line}
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    assert names == {
        "libcublas.so.12": {"cublasCreate_v2@@libcublas.so.12"},
        "libcublasLt.so.12": {"cublasLtMatmul@@libcublasLt.so.12"},
        "libcudnn.so.8": {"cudnnCreate@@libcudnn.so.8"},
    }
    assert ctypes.CDLL(str(plugin)).run() == 3
