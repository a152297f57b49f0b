"""What the runtimes' own tools make of the training form: converted, optimised and saved, quantized after training."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from x3ddeploy.benchmarking.workbench import Workbench
from x3ddeploy.errors import MissingRequirementError
from x3ddeploy.modalities.synthetic import batch_inputs
from x3ddeploy.runtimes.base import Feeds, Session
from x3ddeploy.runtimes.registry import open_session
from x3ddeploy.terms import Precision

if TYPE_CHECKING:
    import openvino

_CALIBRATION_CLIPS = 8
_SEED = 30_000  # far from the seeds of golden data


@dataclass(frozen=True)
class Tool:
    """A tool that a runtime brings along.

    Attributes:
        what: what it makes of the training form, for people.
        make: loads that, ready to run.
        precision: precision of what it makes.
        notes: what is to be known of its figures.
    """

    what: str
    make: Callable[[Workbench], Session]
    precision: Precision = Precision.FP32
    notes: tuple[str, ...] = ()


def _optimised(bench: Workbench) -> Session:
    """The plain export as ONNX Runtime's optimiser writes it into a file, loaded from there."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns that the file is of this machine, where it is loaded
    with tempfile.TemporaryDirectory() as directory:
        options.optimized_model_filepath = str(Path(directory) / "optimised.onnx")
        onnxruntime.InferenceSession(bench.plain, options, providers=["CPUExecutionProvider"])
        return open_session("onnxruntime", Path(options.optimized_model_filepath), threads=bench.setting.threads)


def _statically_quantized(bench: Workbench) -> Session:
    """The plain export in the way of ONNX Runtime's documentation: preprocessed, QDQ, one scale an output channel."""
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class MadeUpClips(CalibrationDataReader):
        def __init__(self) -> None:
            self._clips = _clips(bench)

        def get_next(self) -> Feeds | None:
            return next(self._clips, None)

    with tempfile.TemporaryDirectory() as directory:
        plain, prepared, made = (Path(directory) / f"{name}.onnx" for name in ("plain", "prepared", "quantized"))
        plain.write_bytes(bench.plain)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        bench.progress(f"calibrating by ONNX Runtime with {_CALIBRATION_CLIPS} made-up clips")
        quantize_static(prepared, made, MadeUpClips(), per_channel=True)
        return open_session("onnxruntime", made, threads=bench.setting.threads)


def _converted(bench: Workbench) -> Session:
    from x3ddeploy.runtimes.openvino_session import OpenVINOSession

    return OpenVINOSession(_openvino_model(bench), "cpu", bench.setting.threads)


def _quantized_by_nncf(bench: Workbench) -> Session:
    from x3ddeploy.runtimes.openvino_session import OpenVINOSession

    os.environ.setdefault("NNCF_CI", "1")  # NNCF reports its use to its makers unless it runs as a test
    try:
        import nncf
    except ModuleNotFoundError as error:
        raise MissingRequirementError(f"{error.name} is not installed", hint="pip install nncf") from error
    model = _openvino_model(bench)
    bench.progress(f"calibrating by NNCF with {_CALIBRATION_CLIPS} made-up clips")
    clips = nncf.Dataset([[*clip.values()] for clip in _clips(bench)])
    nncf.set_log_level(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):  # its progress bars, which are drawn where results go
        quantized = nncf.quantize(model, clips, subset_size=_CALIBRATION_CLIPS)
    return OpenVINOSession(quantized, "cpu", bench.setting.threads)


def _openvino_model(bench: Workbench) -> openvino.Model:
    """PyTorch's exported program by OpenVINO's own converter, its inputs and outputs under their names."""
    from x3ddeploy.runtimes.openvino_session import core

    data = bench.exported("OpenVINO's converter", lambda: _converted_files(bench))
    with zipfile.ZipFile(io.BytesIO(data)) as files:
        return core().read_model(files.read("model.xml"), files.read("model.bin"))


def _converted_files(bench: Workbench) -> bytes:
    """What OpenVINO's converter makes, its two files as one archive."""
    import openvino

    inputs = {name: torch.from_numpy(value) for name, value in bench.inputs.items()}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's exporter tells of its own deprecations
        # Decomposed: the converter has no rules for some operators, as cosine_similarity, but for what they consist of.
        program = torch.export.export(bench.network, (), inputs).run_decompositions()
        model = openvino.convert_model(program)
    for ports, names in ((model.inputs, inputs), (model.outputs, bench.outputs)):
        for port, name in zip(ports, names, strict=True):
            port.get_tensor().set_names({name})
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory() as directory, zipfile.ZipFile(packed, "w") as files:
        xml = Path(directory) / "model.xml"
        openvino.save_model(model, xml, compress_to_fp16=False)
        for path in (xml, xml.with_suffix(".bin")):
            files.write(path, path.name)
    return packed.getvalue()


def _clips(bench: Workbench) -> Iterator[Feeds]:
    for index in range(_CALIBRATION_CLIPS):
        yield batch_inputs(bench.bundle.contract.inputs, bench.setting.batch, seed=_SEED + index)


_MADE_UP = (f"its scales are of {_CALIBRATION_CLIPS} made-up clips: its time counts, not its error",)
BY_TOOLS = {
    "saved/onnxruntime": Tool("plain torch.onnx.export, optimised and saved by ONNX Runtime", _optimised),
    "converted/openvino": Tool("converted by OpenVINO from PyTorch's exported program", _converted),
    "static/onnxruntime": Tool(
        "plain torch.onnx.export, ONNX Runtime's quantize_static", _statically_quantized, Precision.INT8, _MADE_UP
    ),
    "nncf/openvino": Tool("converted by OpenVINO, quantized by NNCF", _quantized_by_nncf, Precision.INT8, _MADE_UP),
}
