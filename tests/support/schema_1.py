"""Bundles as x3ddeploy wrote them before there were families and before graphs recorded their blocks."""

import hashlib
import json
from pathlib import Path

import onnx

from x3ddeploy.bundle import Bundle


def rewrite(bundle: Path) -> None:
    """Put graphs and a manifest of schema 1 in the place of a two-stream bundle's own."""
    manifest = Bundle.open(bundle).manifest
    document = json.loads((bundle / "manifest.json").read_text())
    for name in ("family", "inputs", "parts", "outputs", "scores", "deployed", "preprocessing"):
        del document[name]
    for file in bundle.glob("*.onnx"):
        graph = onnx.load(file)
        said = {prop.key: prop.value for prop in graph.metadata_props}
        del said["x3ddeploy.blocks"]
        onnx.helper.set_model_props(graph, said)
        content = graph.SerializeToString()
        file.unlink()
        file.write_bytes(content)
        document["files"][file.name] = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    document |= {
        "schema_version": 1,
        "spec": document.pop("model"),
        "fusion": manifest.contract.fusion,
        "batch": manifest.batch,
        "tensors": manifest.tensors,
    }
    (bundle / "manifest.json").unlink()
    (bundle / "manifest.json").write_text(json.dumps(document))
