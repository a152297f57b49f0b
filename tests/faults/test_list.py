"""The fault list is as long as it is said to be, and the page that shows it is not stale."""

from pathlib import Path

from support.faults.table import FAMILIES, rows

PAGE = Path(__file__).parents[2] / "docs" / "proof.md"


def test_the_page_shows_every_fault():
    text = PAGE.read_text(encoding="utf-8")
    missing = [row for row in rows() if row not in text.splitlines()]
    assert missing == [], "python tests/support/faults/table.py prints the table"


def test_there_are_sixty_faults_and_more():
    assert sum(len(faults) for faults, _ in FAMILIES.values()) >= 60
