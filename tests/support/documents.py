"""Documents as tests need them: small ones of a kind, and whether one has every field of its type and no other."""

import json

import msgspec

from x3ddeploy.schemas import DOCUMENTS, type_of


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
