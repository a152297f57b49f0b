"""The bundle: a directory of graphs and what is known of them, whole when its manifest is there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import msgspec

from x3ddeploy.atomic import explain_os_errors, locked, staged_directory, write_bytes, write_json
from x3ddeploy.engines.options import BuildOptions
from x3ddeploy.errors import BundleError
from x3ddeploy.models.spec import ModelSpec

SCHEMA_VERSION = 1
PARTS = ("rgb_backbone", "pose_backbone", "head", "recognizer")
MANIFEST = "manifest.json"
LABELS = "labels.txt"
GOLDEN = "golden"
PARITY = "parity.json"
BENCH = "bench.json"
BENCH_REPORTS = ("report.html", "report.md")
EVAL = "eval.json"
CALIBRATION = "calib"
ENGINES = "engines"


@dataclass(frozen=True)
class FileEntry:
    """One file of the bundle."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Source:
    """The checkpoint that a bundle was made from."""

    name: str
    sha256: str
    epoch: int | None = None


@dataclass(frozen=True)
class Precision:
    """Graphs of a lower precision: a folder of the same names as the float32 graphs, and how they came about.

    Attributes:
        calibration: file of the ranges, for INT8.
        random_calibration: whether those ranges are of made-up clips.
        float_layers: blocks or nodes that stay in a higher precision, each with the reason.
        accuracy: 'rgb', 'pose', 'fused' -> top-1 in percent before and after, and share of clips that keep their class;
            None where there was nothing to measure on.
        golden_error: 'part -> output' -> error on the golden clip, relative to the output's range.
    """

    calibration: str | None
    random_calibration: bool
    float_layers: dict[str, str]
    accuracy: dict[str, dict[str, float | None]] | None
    golden_error: dict[str, float]


@dataclass(frozen=True)
class EngineEntry:
    """A TensorRT engine: what it was built from, with and on; all of it is asked before it is loaded.

    Attributes:
        part: which of the bundle's graphs.
        graph_sha256: of that graph as it was then.
        version: of TensorRT, or of TensorRT-RTX.
        gpu: name of the GPU that it was built on, None where it was built without one.
        compute_capabilities: 'major.minor' of the GPUs that it was built for.
        driver: version of the NVIDIA driver at the time, where there was one.
        options: how it was built.
    """

    part: str
    graph_sha256: str
    version: str
    gpu: str | None
    compute_capabilities: tuple[str, ...]
    driver: str | None
    options: BuildOptions


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself; see docs/bundle.md.

    Attributes:
        versions: of x3ddeploy and of the libraries that made the bundle.
        spec: the network and what each stream is fed.
        origins: for each value of the spec, by dotted name, where it came from.
        target: lowering target of the graphs.
        batch: fixed number of clips, None for a dynamic axis.
        fusion: weights of the RGB and the pose stream in `scores`.
        tensors: part -> inputs and outputs -> name -> shape, 'N' for the dynamic axis.
        notes: what the reader of the checkpoint had to say.
        files: path in the bundle -> sha256 and size. Every file but the manifest and reports written later.
        precisions: name of a folder of lower precision ('fp16', 'int8') -> how it was made.
        engines: path of a plan in the bundle -> what it is.
    """

    schema_version: int
    versions: dict[str, str]
    source: Source
    spec: ModelSpec
    origins: dict[str, str]
    target: str
    batch: int | None
    fusion: tuple[float, float]
    opset: int
    ir_version: int
    tensors: dict[str, dict[str, dict[str, list[int | str]]]]
    notes: tuple[str, ...] = ()
    files: dict[str, FileEntry] = field(default_factory=dict)
    precisions: dict[str, Precision] = field(default_factory=dict)
    engines: dict[str, EngineEntry] = field(default_factory=dict)


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its directory and its manifest."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path) -> Bundle:
        """Read a bundle's manifest.

        Raises:
            BundleError: no such directory, no or no valid manifest, a newer schema, or paths that lead outside.
        """
        file = path / MANIFEST
        try:
            text = file.read_bytes()
        except FileNotFoundError as error:
            what = "holds no manifest.json: it is not a bundle" if path.is_dir() else "does not exist"
            raise BundleError(f"{path} {what}", hint="make one with `x3ddeploy export CKPT -o DIR`") from error
        except OSError as error:
            raise BundleError(f"cannot read {file}: {error.strerror}", hint="check the path") from error
        try:
            version = msgspec.json.decode(text, type=_Versioned).schema_version
            if version != SCHEMA_VERSION:
                raise BundleError(
                    f"{file} has schema version {version}, and this x3ddeploy reads {SCHEMA_VERSION}",
                    hint="use the version of x3ddeploy that made it, or export again",
                )
            manifest = msgspec.json.decode(text, type=Manifest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BundleError(f"{file} is not a valid manifest: {error}", hint="export again") from error
        outside = [name for name in manifest.files if not _stays_inside(name)]
        if outside:
            raise BundleError(f"{file} names files outside the bundle", details=outside, hint="do not use this bundle")
        return cls(path, manifest)

    def part_path(self, part: str, precision: str = "fp32") -> Path:
        """Path of a part's graph. Raises BundleError where the bundle has no such graph."""
        name = f"{part}.onnx" if precision == "fp32" else f"{precision}/{part}.onnx"
        if name not in self.manifest.files:
            graphs = [file for file in self.manifest.files if file.endswith(".onnx")]
            make = f"make it with `x3ddeploy quantize --{precision}`; " if "/" in name else ""
            raise BundleError(f"{self.path} has no {name}", hint=f"{make}it has {', '.join(graphs)}")
        return self.path / name

    def altered_files(self) -> list[str]:
        """Every file that is missing or is not what the manifest says, with the reason; empty when all is well."""
        problems = []
        for name, entry in self.manifest.files.items():
            file = self.path / name
            if not file.is_file():
                problems.append(f"{name}: missing")
            elif file.stat().st_size != entry.size_bytes:
                problems.append(f"{name}: {file.stat().st_size} bytes, not {entry.size_bytes}")
            elif sha256_of(file) != entry.sha256:
                problems.append(f"{name}: its sha256 differs")
        return problems

    def labels(self) -> list[str] | None:
        """Class names, one a class, or None where the bundle has none."""
        file = self.path / LABELS
        return file.read_text(encoding="utf-8").splitlines() if LABELS in self.manifest.files else None


def seal(directory: Path, manifest: Manifest) -> Manifest:
    """Write the manifest, last, over every file that is in `directory` now; gives it with its files."""
    files = _entries(directory, directory)
    sealed = replace(manifest, files=files)
    _write_manifest(directory, sealed)
    return sealed


def add_precision(bundle: Bundle, name: str, files: Mapping[str, bytes], precision: Precision) -> Bundle:
    """Put graphs of a lower precision into a bundle, in the place of those of the same name.

    The manifest forgets the old ones first and learns the new ones last: whenever it is read, it is true.

    Args:
        bundle: opened.
        name: 'fp16', 'bf16' or 'int8', the folder.
        files: contents by name in that folder.
        precision: how they came about.

    Raises:
        X3DDeployError: the disk is full or read-only; what the manifest says still holds.
    """
    path, manifest = bundle.path, bundle.manifest
    others = {key: entry for key, entry in manifest.precisions.items() if key != name}
    kept = {key: entry for key, entry in manifest.files.items() if not key.startswith(f"{name}/")}
    calibrations = {entry.calibration for entry in others.values()}
    kept = {key: entry for key, entry in kept.items() if key.split("/")[0] != CALIBRATION or key in calibrations}
    manifest = replace(manifest, files=kept, precisions=others)
    with explain_os_errors(path):
        _write_manifest(path, manifest)
        with staged_directory(path / name) as staging:
            for file, content in files.items():
                write_bytes(staging / file, content)
        entries = _entries(path / name, path)
        if precision.calibration:
            calibration = path / precision.calibration
            entries[precision.calibration] = FileEntry(sha256_of(calibration), calibration.stat().st_size)
        manifest = replace(manifest, files={**kept, **entries}, precisions={**others, name: precision})
        _write_manifest(path, manifest)
    return Bundle(path, manifest)


def add_engine(path: Path, name: str, entry: EngineEntry, plan: bytes, report: bytes) -> Bundle:
    """Put an engine and its report into a bundle, in the place of the one of that name.

    The manifest is read anew under a lock, so that engines which are built at the same time are all kept; it forgets
    the old one first and learns the new one last.

    Args:
        path: the bundle's directory.
        name: of the plan in the bundle, 'engines/<gpu>-<sm>-trt<version>/<part>.<precision>.plan'.
        entry: what it is.
        plan: raw, so that trtexec loads it as well.
        report: JSON, written beside it under the same name.

    Raises:
        X3DDeployError: the disk is full or read-only; what the manifest says still holds.
        BundleError: the bundle is gone.
    """
    contents = {name: plan, f"{name.removesuffix('.plan')}.json": report}
    with explain_os_errors(path), locked(path):
        manifest = Bundle.open(path).manifest
        kept = {key: value for key, value in manifest.files.items() if key not in contents}
        others = {key: value for key, value in manifest.engines.items() if key != name}
        if len(kept) < len(manifest.files):
            _write_manifest(path, replace(manifest, files=kept, engines=others))
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        for key, content in contents.items():
            write_bytes(path / key, content)
        entries = {key: FileEntry(sha256_of(path / key), len(content)) for key, content in contents.items()}
        manifest = replace(manifest, files={**kept, **entries}, engines={**others, name: entry})
        _write_manifest(path, manifest)
    return Bundle(path, manifest)


def _entries(directory: Path, root: Path) -> dict[str, FileEntry]:
    return {
        file.relative_to(root).as_posix(): FileEntry(sha256_of(file), file.stat().st_size)
        for file in sorted(directory.rglob("*"))
        if file.is_file()
    }


def _write_manifest(directory: Path, manifest: Manifest) -> None:
    write_json(directory / MANIFEST, msgspec.to_builtins(manifest))


def derived_files(path: Path, manifest: Manifest) -> list[str]:
    """Files in a bundle's directory that were made from it and that a new export would lose (engines, ...).

    Reports of a benchmark and an evaluation are not counted: they speak of the graphs that are being replaced.
    """
    folders = {*manifest.precisions, CALIBRATION, ENGINES}
    reports = {BENCH, EVAL, *BENCH_REPORTS}
    known = {name for name in manifest.files if name.split("/")[0] not in folders} | {MANIFEST} | reports
    names = (file.relative_to(path).as_posix() for file in sorted(path.rglob("*")) if file.is_file())
    return [name for name in names if name not in known]


@dataclass(frozen=True)
class _Versioned:
    schema_version: int


def _stays_inside(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts and "\\" not in name and ":" not in name
