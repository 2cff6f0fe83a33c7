# SPDX-License-Identifier: Apache-2.0
"""The results as a chart, and the texts of texts.c for Python to measure with."""

import ast
import re
import statistics

WIDTH, BAR, LEFT, PLOT = 760, 16, 150, 120
COLOURS, GREY = {"upperd": "#c0392b"}, "#7f8c8d"


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


def draw_bars(title, values, top):
    """One group of bars; yields its lines. The longest bar fills the width."""
    longest = max(values.values(), default=0) or 1
    yield f'<text x="0" y="{top + 12}" font-weight="bold">{escape(title)}</text>'
    for row, (server, value) in enumerate(values.items(), 1):
        y = top + row * (BAR + 4)
        length = value / longest * (WIDTH - LEFT - 80)
        colour = COLOURS.get(server, GREY)
        yield f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(server)}</text>'
        yield f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>'
        yield f'<text x="{LEFT + length + 6:.1f}" y="{y + 12}">{value:.4g}</text>'


def draw_growth(title, steps, top):
    """Cost over steps, a line for each server; all steps are equally far apart."""
    highest = max(max(values.values()) for values in steps.values()) or 1
    across = (WIDTH - LEFT - 120) / max(1, len(steps) - 1)
    yield f'<text x="0" y="{top + 12}" font-weight="bold">{escape(title)}</text>'
    for place, step in enumerate(steps):
        yield (f'<text x="{LEFT + place * across:.1f}" y="{top + PLOT + 36}" '
               f'text-anchor="middle">{step}</text>')
    for order, server in enumerate(next(iter(steps.values()))):
        points = [(LEFT + place * across, top + 20 + PLOT * (1 - values[server] / highest))
                  for place, values in enumerate(steps.values()) if server in values]
        colour = COLOURS.get(server, GREY)
        yield ('<polyline fill="none" stroke-width="2" stroke="' + colour + '" points="'
               + " ".join(f"{x:.1f},{y:.1f}" for x, y in points) + '"/>')
        x, y = points[-1]
        y += 14 * order - 2  # lines that end at the same place still have two names
        yield f'<text x="{x + 6:.1f}" y="{y:.1f}" fill="{colour}">{escape(server)}</text>'
    yield f'<text x="{LEFT - 8}" y="{top + 24}" text-anchor="end">{highest:.3g} µs</text>'


def medians_of(found):
    return {server: statistics.median(values) for server, values in found["costs"].items()}


def draw(results):
    lines, top = [], 10
    bars = {f'{name}, {load["unit"]}': medians_of(load) for name, load in results["loads"].items()}
    bars |= {f"{name}, bytes": found for name, found in results["idle"].items()}
    for title, values in bars.items():
        lines += draw_bars(title, values, top)
        top += (len(values) + 2) * (BAR + 4)
    for title, steps in results["growth"].items():
        lines += draw_growth(title, {step: medians_of(one) for step, one in steps.items()}, top)
        top += PLOT + 60
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" '
            'font-family="sans-serif" font-size="12">')
    return "\n".join([head, *lines, "</svg>"]) + "\n"
