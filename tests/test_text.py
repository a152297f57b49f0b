"""Text out of files must not steer the user's terminal, or show another order of letters than it has."""

import pytest

from x3ddeploy.text import escaped


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("drink water", "drink water"),
        ("Stra\u00dfe \u4e2d\u6587\u3000\u0627", "Stra\u00dfe \u4e2d\u6587\u3000\u0627"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\rb\nc\td", "a\\rb\\nc\\td"),
        ("\x9b31m\x7f\x00", "\\x9b31m\\x7f\\x00"),
        ("a\u202eb\u2066\u200f\ufeff", "a\\u202eb\\u2066\\u200f\\ufeff"),
        ("a\u2028b\u2029\x85", "a\\u2028b\\u2029\\x85"),
        ("\udcff", "\\udcff"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_only_what_steers_is_escaped(text, shown):
    assert escaped(text) == shown
    assert escaped(shown) == shown


def test_line_breaks_can_be_kept():
    assert escaped("a\n\x1bb", keep="\n") == "a\n\\x1bb"
