"""bench.json as one self-contained HTML page, and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from x3ddeploy.benchmarking.view import (
    Report,
    absent_by_reason,
    bundles_text,
    busy,
    cautions,
    headline_text,
    main_scope,
)
from x3ddeploy.report import bars, curves, heat, tables
from x3ddeploy.report.competitors import MEANING, Numbers
from x3ddeploy.report.roofline import rooflines
from x3ddeploy.report.templating import templates
from x3ddeploy.text import escaped


def render_html(report: Report) -> str:
    """One file without anything from elsewhere: style and drawings are inside, there are no scripts.

    Args:
        report: as written to bench.json; something was timed.
    """
    return _render("report.html.j2", report, autoescape=True)


def render_markdown(report: Report) -> str:
    """The same figures as tables, for a pull request."""
    return _render("report.md.j2", report, autoescape=False, finalize=_markdown_text)


def _markdown_text(value: Any) -> Any:
    """What comes from files is text in Markdown, too: no table cell, no HTML, no link and no line of its own."""
    return re.sub(r"([\\`*|<>\[\]])", r"\\\1", escaped(value)) if isinstance(value, str) else value


def _render(template: str, report: Report, *, autoescape: bool, finalize: Callable[[Any], Any] | None = None) -> str:
    return templates(autoescape=autoescape, finalize=finalize).get_template(template).render(**_sections(report))


def _sections(report: Report) -> dict[str, Any]:
    numbers = Numbers.of(report)
    header, rows = tables.details(report, numbers)
    columns, kinds = heat.kinds(report)
    return {
        "report": report,
        "main_scope": main_scope(report),
        "mark": busy(report),
        "bundles": bundles_text(report),
        "tiles": tables.tiles(report),
        "headlines": [headline_text(report, entry) for entry in report.headlines],
        "cautions": cautions(report),
        "tones": MEANING,
        "latency": bars.latency(report, numbers),
        "accuracy": curves.accuracy(report, numbers),
        "throughput": curves.throughput(report, numbers),
        "rooflines": rooflines(report, numbers),
        "heats": heat.heats(report),
        "kind_columns": columns,
        "kinds": kinds,
        "parts": bars.parts(report),
        "precisions": bars.precisions(report),
        "details_header": header,
        "details": rows,
        "environment": tables.environment(report),
        "absent": absent_by_reason(report),
    }
