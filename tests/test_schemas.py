"""The JSON Schemas in docs are those of the types, and the documents of a bundle are of them."""

import json
from importlib import import_module
from pathlib import Path

import msgspec
import pytest

from x3ddeploy.schemas import DOCUMENTS, schema_of

SCHEMAS = Path(__file__).parent.parent / "docs" / "schemas"


def test_the_folder_holds_every_document_and_no_other():
    assert {file.stem for file in SCHEMAS.glob("*.json")} == DOCUMENTS.keys()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_schemas_in_docs_are_of_today(document):
    stored = json.loads((SCHEMAS / f"{document}.json").read_text(encoding="utf-8"))
    assert stored == schema_of(document), "python -m x3ddeploy.schemas docs/schemas"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_bundles_documents_have_every_field_and_no_other(bundle, document):
    module, _, name = DOCUMENTS[document].partition(":")
    text = (bundle / f"{document}.json").read_bytes()
    value = msgspec.json.decode(text, type=getattr(import_module(module), name))
    assert json.loads(msgspec.json.encode(value)) == json.loads(text)
