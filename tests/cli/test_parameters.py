"""No number that means nothing gets past an option: not NaN, not infinity, not a negative or an absurd one."""

import click
import pytest
from support.command import command_of
from support.present import of_type

from x3ddeploy import demo
from x3ddeploy.cli.failures import exit_code_of
from x3ddeploy.cli.main import VERBS, main
from x3ddeploy.cli.parameters import Capabilities, Count, Number, Size, Weights
from x3ddeploy.engines.shapes import parse_shapes
from x3ddeploy.errors import UsageError

NONSENSE = [
    "nan",
    "NaN",
    "inf",
    "-inf",
    "Infinity",
    "-1",
    "1e400",
    "-1e400",
    "9" * 30,
    "9" * 5000,
    "",
    "x",
    "0x10",
    "1;2",
]
# What an option may be that is no number; a new kind has to be added here, with a thought.
NO_NUMBERS = (click.Choice, click.Path, click.types.StringParamType, click.types.BoolParamType)
# Texts that hold numbers, and are read elsewhere.
SHAPES = {"min_shapes", "opt_shapes", "max_shapes"}


def parameters():
    commands = {verb: command_of(verb) for verb in VERBS} | {"demo": demo.main}
    group = of_type(click.Group, commands.pop("data"))
    commands |= {f"data {name}": command for name, command in group.commands.items()}
    return {f"{verb} {param.name}": param for verb, command in commands.items() for param in command.params}


PARAMETERS = parameters()
WITH_VALUES = {
    name: param
    for name, param in PARAMETERS.items()
    if not name.startswith("demo") and (isinstance(param, click.Argument) or not param.is_flag)
}
NUMERIC = {name: param for name, param in PARAMETERS.items() if not isinstance(param.type, NO_NUMBERS)}


def test_every_number_has_bounds():
    bare = {
        name: param.type
        for name, param in NUMERIC.items()
        if not isinstance(param.type, Count | Number | Size | Weights | Capabilities)
    }
    assert bare == {}
    for name, param in NUMERIC.items():
        if isinstance(param.type, Count | Number):
            assert param.type.min is not None, name
            assert param.type.max is not None, name
    assert len(NUMERIC) > 35


@pytest.mark.parametrize("name", WITH_VALUES)
def test_an_empty_value_is_a_usage_error_that_names_what_it_is_of(name, capsys):
    param, verb = WITH_VALUES[name], name.split()[:-1]
    if isinstance(param, click.Argument):
        arguments = [
            other
            for other in PARAMETERS
            if other.split()[:-1] == verb and PARAMETERS[other].param_type_name == "argument"
        ]
        words, named = ["x"] * arguments.index(name), param.human_readable_name
    else:
        words, named = param.opts[-1:], param.opts[-1]
    assert exit_code_of(main, [*verb, *words, *[""] * max(param.nargs, 1)]) == 2
    told = capsys.readouterr().err
    assert "is empty" in told
    assert named in told


@pytest.mark.parametrize("name", NUMERIC)
def test_nonsense_is_a_usage_error(name):
    param = NUMERIC[name]
    context = click.Context(click.Command("x"))
    texts = list(NONSENSE)
    if isinstance(param.type, Size):
        texts += ["nanx2", "0x0", "-1x2", f"{'9' * 30}x2", "1e3x2", "2", "2x", "224x224x3"]
    elif isinstance(param.type, Weights):
        texts += ["nan:1", "1:inf", "0:0", "-1:2", "1e400:1", "1e-320:1", "1:2:", "1", "1e308:1e308"]
    elif isinstance(param.type, Capabilities):
        texts += ["8", "8.9,", "8.9,nan", f"{'9' * 30}.0", "0.9"]
    for text in texts:
        with pytest.raises(click.UsageError):
            param.type.convert(text, param, context)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Count(8), "8", 8),
        (Count(8, least=0), "0", 0),
        (Number(1, over=True), "1e-5", 1e-5),
        (Number(1), "0", 0.0),
        (Size(), "224X112", (224, 112)),
        (Weights(), "2:1", (2.0, 1.0)),
        (Weights(), "0:1e6", (0.0, 1e6)),
        (Weights(), "2:2:1:1", (2.0, 2.0, 1.0, 1.0)),
        (Capabilities(), "8.9, 12.0,8.9", ("8.9", "12.0")),
    ],
)
def test_what_makes_sense_passes(kind, text, value):
    assert kind.convert(text, None, None) == value


def test_a_bound_itself_is_taken_unless_it_is_left_out():
    with pytest.raises(click.BadParameter):
        Number(1, over=True).convert("0", None, None)
    with pytest.raises(click.BadParameter):
        Count(8).convert(9, None, None)


@pytest.mark.parametrize(
    "text", ["imgs:1x3x16x224xnan", "imgs:-1x3", f"imgs:{'9' * 30}x3", "imgs:0x3", "imgs:1e9x3", "1x3"]
)
def test_shapes_of_engines_are_numbers_too(text):
    assert all(f"build-trt {name}" in PARAMETERS for name in SHAPES)
    with pytest.raises(UsageError, match="is not of the form"):
        parse_shapes(text)
