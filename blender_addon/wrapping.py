# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentences broken into the lines that fit into the sidebar."""

from collections.abc import Callable

import blf
import bpy

#: Margins, panel borders and the scroll bar, in points before the interface's scale.
_MARGIN_PT = 56
_FONT_PT = 11


def wrap(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Break at spaces; a word that is wider than the line is cut, as paths are.

    width: in the unit of measure(text), which gives the length of a line.
    """
    lines: list[str] = []
    line = ""
    for word in text.split():
        while measure(word) > width and len(word) > 1:
            fits = next((n for n in range(len(word) - 1, 1, -1) if measure(word[:n]) <= width), 1)
            if line:
                lines.append(line)
                line = ""
            lines.append(word[:fits])
            word = word[fits:]
        longer = f"{line} {word}".strip()
        if line and measure(longer) > width:
            lines.append(line)
            longer = word
        line = longer
    return [*lines, line] if line else lines


def paragraph(
    layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: str = "NONE", reserve_pt: int = 0
) -> None:
    """Draw a text in as many labels as the region's width needs; the icon stands before the first.

    reserve_pt: width that something beside the text takes, in points before the interface's scale.
    """
    scale = context.preferences.system.ui_scale
    region = context.region
    width = (region.width if region else 260) - (_MARGIN_PT + reserve_pt + (34 if icon != "NONE" else 0)) * scale
    blf.size(0, _FONT_PT * scale)
    lines = wrap(text, max(width, 80), lambda line: float(blf.dimensions(0, line)[0]))
    column = layout.column(align=True)
    column.scale_y = 0.8
    for number, line in enumerate(lines):
        shown = icon if number == 0 else "BLANK1" if icon != "NONE" else "NONE"
        column.label(text=line, icon=shown)
