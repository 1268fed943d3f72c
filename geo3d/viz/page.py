"""What the pages of reports are made of: the frame of a page, tiles, tables, pictures. Text is escaped here.

A page stands alone: style, script and pictures lie in the file, and nothing is loaded from a network.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

import geo3d

_HERE = Path(__file__).parent


def page(title: str, parts: Sequence[str], script: str = "") -> str:
    """A whole page as HTML.

    Parameters
    ----------
    title : str
        Plain text.
    parts : sequence of str
        HTML of the sections; empty ones are left out.
    script : str
        JavaScript.
    """
    made = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    text = _PAGE.format(
        title=escaped(title),
        style=(_HERE / "report.css").read_text(encoding="utf-8"),
        script=f"<script>\n{script}\n</script>\n" if script else "",
        body="\n".join(part for part in parts if part),
        foot=f"Made by geo3d {geo3d.__version__} on {made}. This page loads nothing from a network.",
    )
    return text.encode(errors="backslashreplace").decode()  # file names may hold bytes that are no UTF-8


def escaped(words: object) -> str:
    """Plain text as HTML."""
    return html.escape(str(words))


def tile(name: str, value: str, meaning: str, grade: str = "") -> str:
    """A figure with its name and a sentence on what it means.

    Parameters
    ----------
    name, meaning : str
        Plain text.
    value : str
        HTML.
    grade : str
        `good`, `fair`, `poor` or nothing.
    """
    chip = f'<span class="chip {grade}">{grade}</span>' if grade else ""
    return (
        f'<div class="tile"><div class="name">{escaped(name)}{chip}</div>'
        f'<div class="value">{value}</div><p>{escaped(meaning)}</p></div>'
    )


def grade_of(value: float, good: float, fair: float) -> str:
    """Grade of a figure of which more is better: `good` from one value on, `fair` from another, else `poor`."""
    if not np.isfinite(value):
        return ""
    return "good" if value >= good else "fair" if value >= fair else "poor"


def figure(title: str, drawing: str, caption: str) -> str:
    """A drawing with a heading and an explanation.

    Parameters
    ----------
    title, caption : str
        Plain text.
    drawing : str
        HTML.
    """
    return f"<figure><h3>{escaped(title)}</h3>{drawing}<figcaption>{escaped(caption)}</figcaption></figure>"


def pairs_section(title: str, *parts: str) -> str:
    """A section whose parts, HTML, stand beside each other in pairs; empty parts are left out.

    Parameters
    ----------
    title : str
        Plain text.
    parts : str
    """
    return f'<section><h2>{escaped(title)}</h2><div class="two">{"".join(parts)}</div></section>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """A table of HTML cells whose columns after the first few are numbers.

    Parameters
    ----------
    heads : sequence of str
    rows : sequence of sequences of str
    words : int
        How many of the first columns are words.
    """
    top = "".join(f"<th{'' if i < words else ' class=n'}>{h}</th>" for i, h in enumerate(heads))
    body = "".join(
        "<tr>"
        + "".join(f"<td{'' if i < words else ' class=n'}>{cell}</td>" for i, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} - geo3d report</title>
<style>
{style}
</style>
</head>
<body>
<main>
{body}
</main>
<footer>{foot}</footer>
{script}</body>
</html>
"""
