"""A bundle, the C++ runtime's sources and how to build them, as one archive to carry to the target."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import x3ddeploy
from x3ddeploy.atomic import write_bytes
from x3ddeploy.bundle import MANIFEST, Bundle
from x3ddeploy.bundle.check import require_whole
from x3ddeploy.errors import UsageError, X3DDeployError
from x3ddeploy.files import regular_size
from x3ddeploy.places import require_place
from x3ddeploy.text import escaped

_SOURCES_BYTES = 2 << 20  # more than the sources, the README and the headers of the archive take
_SOURCES = ("CMakeLists.txt", "cmake", "include", "src", "examples")

_SELF_TEST = """\
#!/bin/sh
# Builds the runtime and runs the bundle's golden clip. Arguments go to CMake: where the runtimes are, see README.md.
set -e
cd "$(dirname "$0")"
cmake -S cpp -B build "$@"
cmake --build build --parallel
build/examples/cli/x3ddeploy_cli deploy --self-test
for precision in fp16 bf16 int8; do
  if [ -d deploy/$precision ]; then
    echo "$precision:"
    # 4: there is no runtime for it here, which was said.
    build/examples/cli/x3ddeploy_cli deploy --self-test --precision $precision || [ $? -eq 4 ]
  fi
done
"""

_README = """\
# {name}

An action recognizer ready to be embedded, packed by x3ddeploy {version}.

    ./self_test.sh -DOpenVINO_DIR="$(python3 -c 'import openvino; print(openvino.__path__[0])')/cmake"
    ./self_test.sh -DX3DDEPLOY_TENSORRT_ROOT=/opt/TensorRT -DX3DDEPLOY_CUDA_ROOT=/usr/local/cuda
    ./self_test.sh -DX3DDEPLOY_ONNXRUNTIME_ROOT=/opt/onnxruntime

Each builds the runtime with what the target has (C++17, CMake 3.22), runs the bundle's golden clip and compares with
what PyTorch gave for it. `build/examples/cli/x3ddeploy_cli --help` says what else it does; `cpp/examples` holds an
application that uses find_package, and one that carries the bundle in its own binary. The whole interface is
`cpp/include/x3ddeploy/x3ddeploy.hpp`.
"""


@dataclass(frozen=True)
class PackReport:
    """What `x3ddeploy bundle --json` prints."""

    schema_version: int
    archive: str
    files: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Packed:
    """A written archive."""

    path: Path
    files: int
    size_bytes: int
    sha256: str

    def document(self) -> PackReport:
        """For `--json`."""
        return PackReport(1, str(self.path), self.files, self.size_bytes, self.sha256)


def pack(bundle: Bundle, archive: Path) -> Packed:
    """Write an uncompressed tar of the bundle's files, the runtime's sources, a README and a self-test.

    The same bundle and the same x3ddeploy give the same bytes: names are sorted, times and owners are nobody's.

    Args:
        bundle: an opened bundle; every file of its manifest is packed, and nothing else in its directory.
        archive: the file to write; its stem is the archive's top folder.

    Raises:
        UsageError: something else than an older archive is at `archive`, or its name is none.
        BundleError: the bundle is not what its manifest says.
        X3DDeployError: the sources are not installed, or the archive cannot be written.
    """
    _check_place(archive)
    require_whole(bundle)
    size = sum(entry.size_bytes for entry in bundle.manifest.files.values())
    require_place(archive.parent, size + _SOURCES_BYTES)
    top = PurePosixPath(archive.name.partition(".")[0])
    contents = {top / "deploy" / name: (bundle.path / name).read_bytes() for name in (*bundle.manifest.files, MANIFEST)}
    contents |= {top / "cpp" / name: content for name, content in _sources().items()}
    contents[top / "README.md"] = _README.format(name=top, version=x3ddeploy.__version__).encode()
    contents[top / "self_test.sh"] = _SELF_TEST.encode()
    data = _tar(contents)
    write_bytes(archive, data)
    return Packed(archive, len(contents), len(data), hashlib.sha256(data).hexdigest())


def _check_place(archive: Path) -> None:
    """The archive has a name of its own, and takes the place of nothing but an older archive."""
    top = archive.name.partition(".")[0]
    if not top or escaped(top) != top:
        raise UsageError(
            f"{archive} has no printable name before its dot", hint="name it for what it holds: actions.tar"
        )
    try:
        regular_size(archive)
        is_archive = tarfile.is_tarfile(archive)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"cannot write {archive}: {error.strerror}", hint="name another file") from error
    if not is_archive:
        raise UsageError(f"{archive} is there and is no archive", hint="name another file, or remove it")


def _sources() -> dict[str, bytes]:
    """The C++ runtime's files by their path: beside the package in a checkout, inside it when installed."""
    package = Path(x3ddeploy.__file__).parent
    for root in (package / "cpp", package.parent / "cpp"):
        if (root / "CMakeLists.txt").is_file():
            paths = (root / name for name in _SOURCES)
            files = (file for path in paths for file in ([path] if path.is_file() else path.rglob("*")))
            named = {file.relative_to(root): file for file in files if file.is_file()}
            return {name.as_posix(): file.read_bytes() for name, file in named.items() if "build" not in name.parts}
    raise X3DDeployError("the C++ runtime's sources are not installed", hint="install x3ddeploy again")


def _tar(contents: dict[PurePosixPath, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in sorted(contents.items()):
            entry = tarfile.TarInfo(str(name))
            entry.size = len(content)
            entry.mode = 0o755 if name.suffix == ".sh" else 0o644
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
