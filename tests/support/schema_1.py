"""Manifests as x3ddeploy wrote them before there were families."""

import json
from pathlib import Path

from x3ddeploy.bundle import Bundle


def rewrite(bundle: Path) -> None:
    """Put a manifest of schema 1 in the place of a two-stream bundle's own."""
    manifest = Bundle.open(bundle).manifest
    document = json.loads((bundle / "manifest.json").read_text())
    for name in ("family", "inputs", "parts", "outputs", "scores", "deployed", "preprocessing"):
        del document[name]
    document |= {
        "schema_version": 1,
        "spec": document.pop("model"),
        "fusion": manifest.contract.fusion,
        "batch": manifest.batch,
        "tensors": manifest.tensors,
    }
    (bundle / "manifest.json").unlink()
    (bundle / "manifest.json").write_text(json.dumps(document))
