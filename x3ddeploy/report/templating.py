"""The templates of this package, as every page is made from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jinja2


def templates(*, autoescape: bool = True, finalize: Callable[[Any], Any] | None = None) -> jinja2.Environment:
    """Templates in which a name that is not given is an error, and what is given is text and no markup.

    Args:
        autoescape: False for Markdown, which has no such escape.
        finalize: sees each value before it is written.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("x3ddeploy.report"),
        autoescape=autoescape,  # noqa: S701 (see above)
        undefined=jinja2.StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # What `tojson` writes: no space, and no NaN, which is not JSON.
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment
