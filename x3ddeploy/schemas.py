"""JSON Schemas of what commands write and print: `python -m x3ddeploy.schemas docs/schemas` writes them."""

from __future__ import annotations

import sys
from importlib import import_module
from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec

from x3ddeploy.atomic import write_json

# Document -> the type that its writer and its readers share.
DOCUMENTS = {
    "manifest": "x3ddeploy.bundle.manifest:Manifest",
    "parity": "x3ddeploy.parity.document:ParityReport",
    "eval": "x3ddeploy.evaluation.document:EvalReport",
    "bench": "x3ddeploy.benchmarking.document:BenchReport",
    "doctor": "x3ddeploy.doctor.report:DoctorReport",
    "verify": "x3ddeploy.verification:VerifyReport",
    "export-one-step": "x3ddeploy.api.one_step:OneStepReport",
    "export": "x3ddeploy.exporting.export:ExportReport",
    "predict": "x3ddeploy.prediction.document:PredictionLine",
    "predict-live": "x3ddeploy.prediction.document:LiveLine",
    "explain": "x3ddeploy.prediction.document:ExplanationReport",
    "predict-row": "x3ddeploy.prediction.document:WrittenLine",
    "predict-failed-row": "x3ddeploy.prediction.document:FailedLine",
    "eval-row": "x3ddeploy.evaluation.document:WrittenClip",
    "eval-failed-row": "x3ddeploy.evaluation.document:FailedClip",
    "quantize": "x3ddeploy.precision.quantize:QuantizeReport",
    "precision-report": "x3ddeploy.precision.request:MadeReport",
    "build-trt": "x3ddeploy.engines.document:EnginesReport",
    "engine-report": "x3ddeploy.engines.document:EngineReport",
    "bench-compare": "x3ddeploy.benchmarking.compare:Comparison",
    "pack": "x3ddeploy.embedding.pack:PackReport",
    "triton": "x3ddeploy.embedding.triton:TritonReport",
    "pose": "x3ddeploy.api.pose:PoseLine",
    "train": "x3ddeploy.training.result:TrainResult",
    "data-check": "x3ddeploy.data.check:DataReport",
    "synth": "x3ddeploy.data.synth.document:SynthReport",
    "synth-pictures": "x3ddeploy.data.synth.document:PicturesRecord",
    "dataset": "x3ddeploy.data.synth.document:DatasetRecord",
    "calibration": "x3ddeploy.calibration.cache:Calibration",
    "inspect-annotations": "x3ddeploy.inspection.document:InspectedAnnotations",
    "inspect-bundle": "x3ddeploy.inspection.document:InspectedBundle",
    "inspect-checkpoint": "x3ddeploy.inspection.document:InspectedCheckpoint",
    "inspect-engine": "x3ddeploy.inspection.document:InspectedEngine",
    "inspect-folder": "x3ddeploy.inspection.document:InspectedFolder",
    "inspect-onnx": "x3ddeploy.inspection.document:InspectedGraph",
}


def type_of(document: str) -> Any:
    """The type of a document in DOCUMENTS."""
    module, _, name = DOCUMENTS[document].partition(":")
    return getattr(import_module(module), name)


def schema_of(document: str) -> dict[str, Any]:
    """The JSON Schema of a document in DOCUMENTS."""
    described = msgspec.json.schema(type_of(document))
    schema: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(described))  # tuples become lists
    if beside := getattr(type_of(document), "BESIDE", None):
        _lay_beside(schema["$defs"][type_of(document).__name__], beside)
    for definition in schema["$defs"].values():
        if "description" in definition:
            definition["description"] = cleandoc(definition["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"{document}.json", **schema}


def _lay_beside(definition: dict[str, Any], name: str) -> None:
    """What a field holds by name is written beside the other fields."""
    definition["required"].remove(name)
    definition["additionalProperties"] = definition["properties"].pop(name)["additionalProperties"]


def write_schemas(folder: Path) -> None:
    """Write `<document>.json` for every document. Raises OSError where the folder cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    for document in DOCUMENTS:
        write_json(folder / f"{document}.json", schema_of(document))


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
