"""Names from files reach a terminal escaped, whichever way they are printed."""

import json

import pytest

from x3ddeploy.cli.echo import echo, echo_lines, json_text, print_json
from x3ddeploy.cli.output import Steps, print_origins, print_table
from x3ddeploy.text import escaped, shell_word

EVIL = "\x1b[2J[red]drink[/red]\r\x07\x9b31m\u202egnp.\nerror: forged"


def test_no_way_to_print_lets_a_control_through(capsys):
    echo(EVIL)
    echo(EVIL, err=True)
    echo_lines(EVIL)
    Steps()(EVIL)
    print_table(EVIL, ("a", EVIL), [(EVIL, "b")])
    print_origins({"a": EVIL}, {"a": EVIL}, [EVIL])
    print_json({EVIL: EVIL})
    told = capsys.readouterr()
    for text in (told.out, told.err):
        assert not set(text) & set("\x1b\r\x07\x9b\u202e")
        assert "[red]drink[/red]" in text  # not taken for a colour
    assert "\nerror: forged" not in told.out.replace("\\nerror", "")


def test_json_stays_the_same_value():
    value = {EVIL: [EVIL, "Stra\u00dfe", "\U000e0001"]}
    text = json_text(value)
    assert json.loads(text) == value
    assert text.replace("\n", "").isprintable()
    assert json_text(value, indent=None).count("\n") == 0
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text(float("inf"))


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("deploy", "deploy"),
        ("my bundle", "'my bundle'"),
        ("it's", "'it'\"'\"'s'"),
        ("-o", "./-o"),
        ("$(reboot)", "'$(reboot)'"),
        ("a\x1bb'\\", "$'a\\x1bb\\x27\\x5c'"),
        ("\udcff", "$'\\xff'"),
    ],
)
def test_a_name_is_one_word_of_a_pasted_command(name, word):
    assert shell_word(name) == word
    assert escaped(word) == word
