"""The JSON Schemas in docs are those of the types, and the documents of a bundle are of them."""

import json
from pathlib import Path

import pytest
from support.documents import of_its_type

from x3ddeploy.schemas import DOCUMENTS, schema_of

SCHEMAS = Path(__file__).parent.parent / "docs" / "schemas"


def test_the_folder_holds_every_document_and_no_other():
    assert {file.stem for file in SCHEMAS.glob("*.json")} == DOCUMENTS.keys()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_schemas_in_docs_are_of_today(document):
    stored = json.loads((SCHEMAS / f"{document}.json").read_text(encoding="utf-8"))
    assert stored == schema_of(document), "python -m x3ddeploy.schemas docs/schemas"


@pytest.mark.parametrize("document", ["manifest", "parity"])
def test_a_bundles_documents_have_every_field_and_no_other(bundle, document):
    of_its_type(document, (bundle / f"{document}.json").read_text())
