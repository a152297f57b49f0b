"""Kinds of option values that several verbs take."""

from __future__ import annotations

import click


class Size(click.ParamType):
    """Height and width in pixels: '224x224'."""

    name = "HxW"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        height, _, width = str(value).lower().partition("x")
        if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
            self.fail(f"{value!r} is not of the form 224x224", param, ctx)
        return int(height), int(width)
