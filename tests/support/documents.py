"""Documents as tests need them: small ones of a kind, and whether one has every field of its type and no other."""

import json

import msgspec

from x3ddeploy.schemas import DOCUMENTS, type_of


def of_its_type(document, text):
    """The document, parsed; fails where a field is missing, unknown or of another type than docs/schemas says."""
    assert document in DOCUMENTS
    found = json.loads(text)
    assert json.loads(json.dumps(msgspec.to_builtins(msgspec.convert(found, type_of(document))))) == found
    return found


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
