"""A bundle as a model repository of NVIDIA's Triton Inference Server.

Each part is a model of its own, with dynamic batching, instances and a warm-up from the golden clip; an ensemble joins
the parts by the names of their tensors, another one has the preprocessing in front. Fields and their meaning:
https://github.com/triton-inference-server/common/blob/main/protobuf/model_config.proto.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto

from x3ddeploy.atomic import explain_os_errors, staged_directory, write_bytes
from x3ddeploy.bundle import GOLDEN, LABELS, Bundle, EngineEntry
from x3ddeploy.bundle.check import require_whole
from x3ddeploy.bundle.engine_options import Flavour
from x3ddeploy.bundle.paths import graph_name
from x3ddeploy.contract import Contract, OutputKind
from x3ddeploy.embedding.pbtxt import Name, Value, to_pbtxt
from x3ddeploy.errors import BundleError, UsageError
from x3ddeploy.npy import read_npy
from x3ddeploy.text import shell_word

_VERSION = "1"
_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"
_TYPES = {
    TensorProto.FLOAT: "TYPE_FP32",
    TensorProto.FLOAT16: "TYPE_FP16",
    TensorProto.BFLOAT16: "TYPE_BF16",
    TensorProto.UINT8: "TYPE_UINT8",
}


class TritonReport(msgspec.Struct, frozen=True):
    """What `x3ddeploy triton --json` prints; `models` are their names, ensembles last."""

    schema_version: int
    repository: str
    models: list[str]


@dataclass(frozen=True)
class TritonOptions:
    """What the repository is to be.

    Attributes:
        name: name of the ensemble; the other models' names begin with it.
        precision: folder of the graphs, or precision of the engines.
        engines: folder in the bundle's `engines/` whose plans stand in the place of the graphs; None for the graphs.
        max_batch: clips that Triton may put together.
        queue_delay_us: microseconds that a request may wait for others.
        instances: number of instances of each model.
        device: 'auto', 'cpu' or 'gpu': where the instances run.
    """

    name: str = "x3d"
    precision: str = "fp32"
    engines: str | None = None
    max_batch: int = 8
    queue_delay_us: int = 100
    instances: int = 1
    device: str = "auto"


@dataclass(frozen=True)
class _Tensor:
    """An input or output; `dims` without the axis of clips, -1 for an axis of any size."""

    name: str
    data_type: str
    dims: tuple[int, ...]

    def config(self) -> dict[str, Value]:
        return {"name": self.name, "data_type": Name(self.data_type), "dims": list(self.dims)}


@dataclass(frozen=True)
class _Model:
    """One composing model: what it is called, what it runs, what goes in and out."""

    name: str
    file: str  # in the bundle
    inputs: tuple[_Tensor, ...]
    outputs: tuple[_Tensor, ...]

    @property
    def is_plan(self) -> bool:
        return self.file.endswith(".plan")


def write_repository(bundle: Bundle, output: Path, options: TritonOptions) -> list[str]:
    """Write a model repository.

    Args:
        bundle: an opened bundle; its graphs take any number of clips.
        output: a directory that does not exist yet, or is empty.
        options: see Options.

    Returns:
        The names of its models; the ensembles stand last.

    Raises:
        UsageError: the name is none, or leads elsewhere; the output is not empty; the bundle's number of clips is
            fixed; the engines take fewer clips.
        BundleError: the bundle is not what its manifest says; there are no such engines.
    """
    if not re.fullmatch(_NAME, options.name):
        raise UsageError(
            f"{options.name!r} is no name of a model: it becomes a folder's",
            hint="letters, digits, '-' and '_', at most 100, the first one a letter or a digit",
        )
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(
            f"{output} is not empty", hint="-o names a new directory; a repository can be copied into another"
        )
    if bundle.manifest.batch is not None:
        raise UsageError(
            f"{bundle.path} takes {bundle.manifest.batch} clips at a time, and Triton puts batches together itself",
            hint="export without --batch",
        )
    require_whole(bundle)
    prefix = options.name
    parts = [_model(bundle, part, options) for wave in bundle.contract.waves for part in wave]
    front = [_graph_model(bundle, name, graph_name(name), options) for name in bundle.manifest.preprocessing]
    ensembles = {f"{prefix}_tensors" if front else prefix: parts}
    if front:
        ensembles[prefix] = [*front, *parts]
    models = {model.name: model for steps in ensembles.values() for model in steps}
    with staged_directory(output) as staging, explain_os_errors(output):
        for name in (*models, *ensembles):
            (staging / name / _VERSION).mkdir(parents=True)
        for name, model in models.items():
            _write_model(bundle, model, staging / name, options)
        for name, steps in ensembles.items():
            _write_labels(bundle, staging / name)
            config = _ensemble(bundle, name, steps, options)
            write_bytes(staging / name / "config.pbtxt", to_pbtxt(config).encode())
    return [*models, *ensembles]


def _model(bundle: Bundle, part: str, options: TritonOptions) -> _Model:
    graph = bundle.part_path(part, options.precision).relative_to(bundle.path).as_posix()
    if options.engines is None:
        return _graph_model(bundle, part, graph, options)
    name = f"engines/{options.engines}/{part}.{options.precision}.plan"
    entry = bundle.manifest.engines.get(name)
    if entry is None:
        folders = sorted({engine.split("/")[1] for engine in bundle.manifest.engines})
        build = f"build them with `x3ddeploy build-trt {shell_word(bundle.path)}`"
        raise BundleError(
            f"{bundle.path} has no {name}",
            hint=f"it has engines of {', '.join(folders)}" if folders else build,
        )
    _check_engine(bundle, name, entry, graph, options)
    model = _graph_model(bundle, part, graph, options)
    return _Model(model.name, name, model.inputs, model.outputs)


def _check_engine(bundle: Bundle, name: str, entry: EngineEntry, graph: str, options: TritonOptions) -> None:
    if entry.graph_sha256 != bundle.manifest.files[graph].sha256:
        raise BundleError(f"{name} was built from another {graph} than the bundle holds now", hint="build it again")
    if entry.options.flavour is not Flavour.TENSORRT:
        raise UsageError(f"{name} is an engine of {entry.options.flavour.title}, and Triton runs TensorRT's")
    batches = entry.options.batches
    if batches.minimum > 1 or batches.maximum < options.max_batch:
        raise UsageError(
            f"{name} takes {batches.minimum} to {batches.maximum} clips, and Triton gives 1 to {options.max_batch}",
            hint=f"--max-batch {batches.maximum}, or build it with other shapes",
        )


def _graph_model(bundle: Bundle, part: str, file: str, options: TritonOptions) -> _Model:
    graph = onnx.load_from_string(_checked(bundle, file)).graph
    inputs, outputs = (tuple(map(_tensor, values)) for values in (graph.input, graph.output))
    return _Model(f"{options.name}_{part}", file, inputs, outputs)


def _tensor(value: onnx.ValueInfoProto) -> _Tensor:
    tensor = value.type.tensor_type
    dims = tuple(axis.dim_value or -1 for axis in tensor.shape.dim)
    return _Tensor(value.name, _TYPES[tensor.elem_type], dims[1:])


def _checked(bundle: Bundle, file: str) -> bytes:
    if problem := bundle.alteration(file):
        raise BundleError(f"{bundle.path / file}: {problem}", hint="export again")
    return (bundle.path / file).read_bytes()


def _write_model(bundle: Bundle, model: _Model, folder: Path, options: TritonOptions) -> None:
    write_bytes(folder / _VERSION / ("model.plan" if model.is_plan else "model.onnx"), _checked(bundle, model.file))
    config: dict[str, Value] = {
        "name": model.name,
        "backend": "tensorrt" if model.is_plan else "onnxruntime",
        "max_batch_size": options.max_batch,
        "input": [tensor.config() for tensor in model.inputs],
        "output": [_output(bundle, tensor) for tensor in model.outputs],
        "instance_group": [{"count": options.instances, "kind": Name(f"KIND_{options.device.upper()}")}],
        "dynamic_batching": {"max_queue_delay_microseconds": options.queue_delay_us},
    }
    config |= _warm_up(bundle, model, folder)
    if any(_is_labelled(bundle, tensor) for tensor in model.outputs):
        _write_labels(bundle, folder)
    write_bytes(folder / "config.pbtxt", to_pbtxt(config).encode())


def _warm_up(bundle: Bundle, model: _Model, folder: Path) -> dict[str, Value]:
    """One request with the golden clip, so that the first user does not wait for what a runtime does once."""
    inputs: list[Value] = []
    (folder / "warmup").mkdir()
    for tensor in model.inputs:
        golden = _checked(bundle, f"{GOLDEN}/{tensor.name}.npy")
        clip = read_npy(io.BytesIO(golden), len(golden))[0]
        if tensor.data_type == "TYPE_FP16":
            clip = clip.astype(np.float16)
        elif tensor.data_type == "TYPE_BF16":  # the upper half of a float32
            clip = (clip.astype("<f4").view("<u4") >> 16).astype("<u2")
        write_bytes(folder / "warmup" / tensor.name, np.ascontiguousarray(clip).tobytes())
        value: dict[str, Value] = {"data_type": Name(tensor.data_type), "dims": list(clip.shape)}
        inputs.append({"key": tensor.name, "value": value | {"input_data_file": tensor.name}})
    return {"model_warmup": [{"name": "golden clip", "batch_size": 1, "inputs": inputs}]}


def _output(bundle: Bundle, tensor: _Tensor) -> dict[str, Value]:
    return tensor.config() | ({"label_filename": LABELS} if _is_labelled(bundle, tensor) else {})


def _is_labelled(bundle: Bundle, tensor: _Tensor) -> bool:
    described = bundle.contract.outputs.get(tensor.name)
    return described is not None and described.kind is OutputKind.SCORES and LABELS in bundle.manifest.files


def _given_by_ensemble(contract: Contract) -> set[str]:
    """What an ensemble gives: the scores, and the logits that they are of; the rest is in the parts' own models."""
    scores = {name for name, output in contract.outputs.items() if output.kind is OutputKind.SCORES}
    return scores.union(*(score.weights for score in contract.scores.values()))


def _write_labels(bundle: Bundle, folder: Path) -> None:
    if LABELS in bundle.manifest.files:
        write_bytes(folder / LABELS, _checked(bundle, LABELS))


def _ensemble(bundle: Bundle, name: str, steps: list[_Model], options: TritonOptions) -> dict[str, Value]:
    """What no step gives is an input; every tensor keeps its name."""
    made = {tensor.name for step in steps for tensor in step.outputs}
    inputs = {tensor.name: tensor for step in steps for tensor in step.inputs if tensor.name not in made}
    given = _given_by_ensemble(bundle.contract)
    outputs = [tensor for step in steps for tensor in step.outputs if tensor.name in given]
    taken = {tensor.name for step in steps for tensor in step.inputs} | {tensor.name for tensor in outputs}

    def same_names(tensors: tuple[_Tensor, ...]) -> list[Mapping[str, Value]]:
        return [{"key": tensor.name, "value": tensor.name} for tensor in tensors if tensor.name in taken]

    return {
        "name": name,
        "platform": "ensemble",
        "max_batch_size": options.max_batch,
        "input": [tensor.config() for tensor in inputs.values()],
        "output": [_output(bundle, tensor) for tensor in outputs],
        "ensemble_scheduling": {
            "step": [
                {
                    "model_name": step.name,
                    "model_version": -1,
                    "input_map": same_names(step.inputs),
                    "output_map": same_names(step.outputs),
                }
                for step in steps
            ]
        },
    }
