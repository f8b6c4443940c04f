"""Line charts as SVG text: two axes, some series, a legend; nothing fetched, nothing scripted."""

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 760, 330
LEFT, RIGHT, TOP, BOTTOM = 78, 16, 16, 44
COLOURS = ("#2f6f8f", "#c8553d", "#5a8f4e", "#8a5aa0", "#b08a2e", "#57606a", "#c06090", "#2aa198")


@dataclass(frozen=True)
class Series:
    """One line: its name and its points, by ascending x."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """One axis: what it shows, how its values are written, where its ticks stand.

    Attributes
    ----------
    title : str
    text : callable
        Writes a value.
    is_log : bool
    ticks : sequence of float
        Empty: chosen from the values.
    """

    title: str
    text: Callable[[float], str]
    is_log: bool = False
    ticks: Sequence[float] = field(default_factory=tuple)

    def scaled(self, value: float) -> float:
        """Return a value on the axis, before it is brought to pixels."""
        return math.log10(max(value, 1e-12)) if self.is_log else value

    def chosen_ticks(self, low: float, high: float) -> list[float]:
        """Return where ticks stand between two scaled values."""
        if self.ticks:
            return [tick for tick in self.ticks if low <= self.scaled(tick) <= high]
        if self.is_log:
            decades = range(math.floor(low), math.ceil(high) + 1)
            ticks = [10.0**decade * step for decade in decades for step in (1, 2, 5)]
            return [tick for tick in ticks if low <= math.log10(tick) <= high]
        step = 10.0 ** math.floor(math.log10(max(high - low, 1e-9)))
        while (high - low) / step < 5:
            step /= 2
        first = math.ceil(low / step)
        return [number * step for number in range(first, math.floor(high / step) + 1)]


@dataclass(frozen=True)
class Bars:
    """A group of bars: its title, and each bar's name and value."""

    title: str
    bars: Sequence[tuple[str, float]]


def bar_chart(groups: Sequence[Bars], unit: str, words: str) -> str:
    """Return groups of bars as an SVG file: each group to its own scale, its first bar as 1.

    Parameters
    ----------
    groups : sequence of Bars
    unit : str
        Of all values.
    words : str
        Stands below.
    """
    parts, top, left = [], 0, 250
    for group in groups:
        top += 26
        title = html.escape(f"{group.title}: {unit}")
        parts.append(f"<text x='8' y='{top}' font-weight='600' font-size='13'>{title}</text>")
        highest = max(value for _, value in group.bars)
        for number, (name, value) in enumerate(group.bars):
            top += 24
            wide = max((WIDTH - left - 190) * value / highest, 1.0)
            colour = COLOURS[0] if number == 0 else "#9db3bf"
            ratio = "" if number == 0 else f", 1 / {group.bars[0][1] / value:.1f}"
            parts.append(
                f"<text x='{left - 8}' y='{top}' text-anchor='end'>{html.escape(name)}</text>"
                f"<rect x='{left}' y='{top - 12}' width='{wide:.1f}' height='16' fill='{colour}'/>"
                f"<text x='{left + wide + 6:.1f}' y='{top}'>{value:,.0f}{ratio}</text>"
            )
        top += 10
    top += 24
    parts.append(f"<text x='8' y='{top}' font-size='11'>{html.escape(words)}</text>")
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {top + 12}'"
        " font-family='system-ui, sans-serif' font-size='12' fill='#6b7a86'>"
    )
    return "".join([head, *parts, "</svg>"])


def line_chart(
    series: Sequence[Series], x: Axis, y: Axis, marks: Sequence[tuple[float, str]] = ()
) -> str:
    """Return a chart as an SVG element.

    Parameters
    ----------
    series : sequence of Series
        At least one with a point.
    x, y : Axis
    marks : sequence of (float, str)
        Upright lines at an x, with their words.
    """
    points = [point for line in series for point in line.points]
    x_low, x_high = _ends([x.scaled(point[0]) for point in points], x.is_log)
    y_low, y_high = _ends([y.scaled(point[1]) for point in points], y.is_log)

    def at_x(value: float) -> float:
        share = (x.scaled(value) - x_low) / (x_high - x_low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def at_y(value: float) -> float:
        share = (y.scaled(value) - y_low) / (y_high - y_low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    height = HEIGHT + 22 * -(-len(series) // 3)
    parts = [
        f"<svg viewBox='0 0 {WIDTH} {height}'"
        " font-family='system-ui, sans-serif' font-size='12' fill='#6b7a86'>"
    ]
    parts += [
        f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{at_y(tick):.1f}' y2='{at_y(tick):.1f}'"
        " stroke='#8fa6b5' stroke-opacity='.3'/>"
        f"<text x='{LEFT - 8}' y='{at_y(tick) + 4:.1f}' text-anchor='end'>{y.text(tick)}</text>"
        for tick in y.chosen_ticks(y_low, y_high)
    ]
    parts += [
        f"<text x='{at_x(tick):.1f}' y='{HEIGHT - BOTTOM + 18}' text-anchor='middle'>"
        f"{x.text(tick)}</text>"
        for tick in x.chosen_ticks(x_low, x_high)
    ]
    parts += _words(x, y)
    for place, words in marks:
        parts.append(
            f"<line x1='{at_x(place):.1f}' x2='{at_x(place):.1f}' y1='{TOP}'"
            f" y2='{HEIGHT - BOTTOM}' stroke='#6b7a86' stroke-dasharray='4 3'/>"
            f"<text x='{at_x(place) + 4:.1f}' y='{TOP + 10}'>{html.escape(words)}</text>"
        )
    for number, line in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{at_x(a):.1f},{at_y(b):.1f}" for a, b in line.points)
        parts.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>")
        if len(line.points) <= 24:
            parts += [
                f"<circle cx='{at_x(a):.1f}' cy='{at_y(b):.1f}' r='3' fill='{colour}'/>"
                for a, b in line.points
            ]
        parts.append(_legend(number, line.name, colour))
    return "".join([*parts, "</svg>"])


def _ends(values: Sequence[float], is_log: bool) -> tuple[float, float]:
    """Return the ends of an axis, a little wider than what it shows; linear ones begin at 0."""
    low, high = min(values), max(values)
    if not is_log:
        low = min(low, 0.0)
    spare = (high - low) * 0.04 or 0.5
    return (low - spare if is_log else low), high + spare


def _legend(number: int, name: str, colour: str) -> str:
    left = LEFT + number % 3 * (WIDTH - LEFT) // 3
    top = HEIGHT + 22 * (number // 3) + 8
    return (
        f"<line x1='{left}' x2='{left + 18}' y1='{top}' y2='{top}' stroke='{colour}'"
        f" stroke-width='3'/><text x='{left + 24}' y='{top + 4}'>{html.escape(name)}</text>"
    )


def _words(x: Axis, y: Axis) -> list[str]:
    middle = (TOP + HEIGHT - BOTTOM) / 2
    return [
        f"<text x='{(LEFT + WIDTH - RIGHT) / 2}' y='{HEIGHT - 8}' text-anchor='middle'>"
        f"{html.escape(x.title)}</text>",
        f"<text transform='translate(14 {middle}) rotate(-90)' text-anchor='middle'>"
        f"{html.escape(y.title)}</text>",
    ]
