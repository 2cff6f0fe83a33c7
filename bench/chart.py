# SPDX-License-Identifier: Apache-2.0
"""The results as a chart, and the texts of texts.c for Python to measure with."""

import ast
import re
import statistics

WIDTH, BAR, LEFT = 720, 16, 150
COLOURS = {"upperd": "#c0392b"}


def read_texts(path):
    """The table of texts.c, strings joined as a compiler would; those that Python can decode."""
    texts = {}
    for name, body in re.findall(r'\{"(\w+)",\s*((?:"(?:[^"\\]|\\.)*"\s*)+)\}', path.read_text()):
        joined = "".join(ast.literal_eval(s) for s in re.findall(r'"(?:[^"\\]|\\.)*"', body))
        if name != "invalid":
            texts[name] = joined.encode()
    return texts


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;")


def draw_load(name, load, top):
    """One group of bars; yields its lines. The longest bar fills the width."""
    medians = {server: statistics.median(values) for server, values in load["costs"].items()}
    longest = max(medians.values()) or 1
    yield f'<text x="0" y="{top + 12}" font-weight="bold">{escape(name)}, {load["unit"]}</text>'
    for row, (server, median) in enumerate(medians.items(), 1):
        y = top + row * (BAR + 4)
        length = median / longest * (WIDTH - LEFT - 80)
        colour = COLOURS.get(server, "#7f8c8d")
        yield f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(server)}</text>'
        yield f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>'
        yield f'<text x="{LEFT + length + 6:.1f}" y="{y + 12}">{median:.3g}</text>'


def draw(results):
    lines, top = [], 10
    for name, load in results["loads"].items():
        lines += draw_load(name, load, top)
        top += (len(load["costs"]) + 2) * (BAR + 4)
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" '
            'font-family="sans-serif" font-size="12">')
    return "\n".join([head, *lines, "</svg>"]) + "\n"
