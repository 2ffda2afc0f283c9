# SPDX-License-Identifier: MIT
"""What a message costs, over what the rows of a case differ by: a small SVG from a report.
A row that belongs into one has `plot`: what the axis is, its value there, and the line; or
`values`, for each drawing what is drawn, and the value of each line."""

import math
from html import escape

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 60, 200, 40, 50
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e")


def cost_us(row):
    return sum(node["cpu_us_per_message"] for node in row["nodes"].values())


def points_of(row):
    """(drawing, what is drawn, line, value on the axis, value)"""
    place = row["plot"]
    if "values" not in place:
        yield "", "µs CPU of the node a message", place["line"], place["at"], cost_us(row)
    for drawing, (what, values) in place.get("values", {}).items():
        for line, value in values.items():
            yield drawing, what, line, place["at"], value


def drawings_of(rows):
    """drawing -> (what, {line: [(value on the axis, value)]})"""
    drawings = {}
    for row in rows:
        for drawing, what, name, at, value in points_of(row) if "plot" in row else ():
            _, lines = drawings.setdefault(drawing, (what, {}))
            lines.setdefault(name, []).append((at, value))
    return drawings


def step_above(value):
    """A round number for the end of an axis."""
    power = 10 ** math.floor(math.log10(value))
    return next(n * power for n in (1, 2, 5, 10) if n * power >= value)


class Scale:
    """Logarithmic from left to right, with a place for 0 before the rest; linear upwards."""

    def __init__(self, points):
        self._zero = min((x for x, _ in points if x > 0), default=1) / 10
        self._places = sorted(math.log10(max(x, self._zero)) for x, _ in points)
        self.top = step_above(max(y for _, y in points))

    def x(self, value):
        first, last = self._places[0], self._places[-1]
        part = (math.log10(max(value, self._zero)) - first) / ((last - first) or 1)
        return round(LEFT + part * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value):
        return round(HEIGHT - BOTTOM - value / self.top * (HEIGHT - TOP - BOTTOM), 1)


def text(x, y, words, anchor="middle"):
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


def axes(scale, points, axis):
    for x in sorted({x for x, _ in points}):
        yield text(scale.x(x), HEIGHT - BOTTOM + 18, f"{x:,}")
    yield text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, axis)
    for part in range(5):
        value = scale.top * part / 4
        yield (f'<path d="M{LEFT} {scale.y(value)}H{WIDTH - RIGHT}" stroke="#ccc"/>'
               + text(LEFT - 6, scale.y(value) + 4, f"{value:,.10g}", "end"))


def line(scale, index, name, points):
    colour = COLOURS[index % len(COLOURS)]
    way = " ".join(f"{scale.x(x)},{scale.y(y)}" for x, y in points)
    yield f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for x, y in points:
        yield f'<circle cx="{scale.x(x)}" cy="{scale.y(y)}" r="3" fill="{colour}"/>'
    yield (f'<g fill="{colour}">'
           + text(WIDTH - RIGHT + 12, TOP + 12 + 18 * index, name, "start") + "</g>")


def plots(case, rows):
    """File name -> SVG."""
    axis = next((row["plot"]["axis"] for row in rows if "plot" in row), None)
    return {f"{case}{drawing and '-'}{drawing}.svg": draw(f"{case}: {what}", axis, lines)
            for drawing, (what, lines) in drawings_of(rows).items()}


def draw(title, axis, lines):
    points = [point for line_points in lines.values() for point in line_points]
    scale = Scale(points)
    parts = [text(LEFT, 22, title, "start"), *axes(scale, points, axis)]
    for index, (name, line_points) in enumerate(lines.items()):
        parts += line(scale, index, name, sorted(line_points))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
            'font-family="sans-serif" font-size="12">\n'
            '<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n")
