"""Documents as tests need them: small ones of a kind, and whether one has every field of its type and no other."""

import json

import msgspec

from x3ddeploy.schemas import DOCUMENTS, type_of
from x3ddeploy.timing.measure import statistics


def of_its_type(document, text):
    """The document, parsed; fails where a field is missing, unknown or of another type than docs/schemas says."""
    assert document in DOCUMENTS
    found, kind = json.loads(text), type_of(document)
    typed = msgspec.json.decode(json.dumps(_gathered(found, kind)), type=kind)  # which knows keys of numbers
    assert json.loads(json.dumps(msgspec.to_builtins(typed))) == _gathered(found, kind)
    return found


def _gathered(found, kind):
    """What lies beside a type's own fields as the field that it is."""
    if not hasattr(kind, "BESIDE"):
        return found
    own = {field.encode_name for field in msgspec.structs.fields(kind)}
    others = {name: value for name, value in found.items() if name not in own}
    return {name: value for name, value in found.items() if name in own} | {kind.BESIDE: others}


def eval_json(sha256, deployed, **top1):
    """What of an eval.json is read again: top-1 of the deployed score by runtime."""

    def accuracies(value):
        return {"top1": value, "top5": 1.0, "mean_class": value, "by_class": [value, None]}

    results = [
        {
            "runtime": runtime,
            "precision": "fp32",
            "version": "1",
            "device": "cpu",
            "scores": {deployed: accuracies(value), "other": accuracies(0.1)},
            "confusions": [{"class": 0, "predicted": 1, "videos": 2}],
            "against_reference": None,
        }
        for runtime, value in top1.items()
    ]
    return {
        "schema_version": 1,
        "bundle": {"path": "deploy", "source": {"name": "a.pth", "sha256": sha256, "epoch": None}, "fusion": [1.0]},
        "data": {"path": "clips", "split": None, "description": {}},
        "videos": 50,
        "deployed": deployed,
        "results": results,
    }


def bench_row(name, samples_ms, **others):
    """A row of bench.json, of a competitor that takes frames alone."""
    row = {"name": name, "kind": name, "bundle": "", "scope": "compute", "network": f"network of {name}"}
    row |= {"runtime": name.partition("/")[0], "version": "1.2", "device": "cpu", "precision": "fp32", "batch": 1}
    row |= {"is_ours": name.startswith("onnxruntime"), "shapes": {"imgs": [1, 3, 16, 224, 224]}}
    row |= {"relative_error": 2e-7, "load_s": 1.0, "notes": [], "work_of": name, "floor_ms": None}
    row |= {"memory_bytes": {"host_peak": 10**8, "device": None, "engine": None, "file": 10**7}}
    row |= {"samples_ms": samples_ms, "device_samples_ms": [], "device_median_ms": None, "ratio": None, "unlike": []}
    return row | vars(statistics(samples_ms)) | {"window_cv": 0.01, "stable": True} | others
