"""SVG charts of the HTML report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from math import ceil, floor, log1p, log10

from cartpole_phys.data.report.statistics import Coverage, Histogram

WIDTH, HEIGHT = 420, 240  # of a chart, SVG user units
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 12, 44  # margins for axes and their labels
CHARACTER = 6.5  # approximate width of a character of a tick label
TICKS = 5  # minimum number of intervals on an axis


class Axes:
    """Axes with ticks and labels, and the conversion of values to positions."""

    def __init__(self, x: Sequence[float], y: Sequence[float], x_label: str, y_label: str) -> None:
        """Set the ranges, from the first to the last value of ``x`` and ``y``."""
        self._x, self._y = (x[0], x[-1]), (y[0], y[-1])
        self._x_label, self._y_label = x_label, y_label

    def x(self, value: float) -> float:
        """Horizontal position of a value."""
        return LEFT + (WIDTH - LEFT - RIGHT) * _relative(value, *self._x)

    def y(self, value: float) -> float:
        """Vertical position of a value, from the top."""
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * _relative(value, *self._y)

    def frame(self) -> Iterator[str]:
        """SVG elements of the axes, tick labels and axis labels."""
        bottom = HEIGHT - BOTTOM
        yield f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{WIDTH - RIGHT}"/>'
        for value in _ticks(*self._x):
            yield f'<text class="tick" x="{self.x(value):.1f}" y="{bottom + 16}">{_shorten(value)}</text>'
        for value in _ticks(*self._y):
            yield f'<text class="tick up" x="{LEFT - 6}" y="{self.y(value) + 4:.1f}">{_shorten(value)}</text>'
        center, middle = (LEFT + WIDTH - RIGHT) / 2, (TOP + bottom) / 2
        yield f'<text class="label" x="{center}" y="{HEIGHT - 8}">{escape(self._x_label)}</text>'
        turned = f'transform="translate(13 {middle}) rotate(-90)"'
        yield f'<text class="label" {turned}>{escape(self._y_label)}</text>'


def histogram_chart(histogram: Histogram, count_label: str) -> str:
    """Histogram; the tooltip of a bar has its range and count."""
    name, unit, counts, edges, _ = histogram
    axes = Axes(edges.tolist(), [0.0, max(float(counts.max()), 1.0)], with_unit(name, unit), count_label)
    base = axes.y(0.0)
    drawn = [
        f'<rect class="bar" x="{axes.x(low):.1f}" y="{axes.y(count):.1f}" '
        f'width="{max(axes.x(high) - axes.x(low) - 0.5, 0.5):.1f}" height="{base - axes.y(count):.1f}">'
        f"<title>{low:.4g} to {high:.4g} {escape(unit)}: {count:,}</title></rect>"
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    return _svg(f"Histogram of the {name}", [*drawn, *axes.frame()])


def heatmap(coverage: Coverage) -> str:
    """Joint histogram of two variables; the opacity of a cell is logarithmic in its count."""
    horizontal, vertical, counts = coverage
    axes = Axes(
        horizontal.edges.tolist(),
        vertical.edges.tolist(),
        with_unit(horizontal.name, horizontal.unit),
        with_unit(vertical.name, vertical.unit),
    )
    most = log1p(float(counts.max()))
    drawn = []
    for i, low in enumerate(horizontal.edges[:-1]):
        for j, bottom in enumerate(vertical.edges[:-1]):
            if counts[i, j]:
                x, y = axes.x(low), axes.y(vertical.edges[j + 1])
                width, height = axes.x(horizontal.edges[i + 1]) - x, axes.y(bottom) - y
                opacity = 0.12 + 0.88 * log1p(float(counts[i, j])) / most
                drawn.append(
                    f'<rect class="bar" x="{x:.1f}" y="{y:.1f}" width="{width:.2f}" height="{height:.2f}" '
                    f'fill-opacity="{opacity:.2f}"/>'
                )
    return _svg(f"Coverage of {horizontal.name} and {vertical.name}", [*drawn, *axes.frame()])


def score_chart(
    rows: Sequence[tuple[str, float, float, float]], bands: Sequence[tuple[str, float, float]]
) -> str:
    """Scores with confidence intervals, one per line, over the bands of the tiers."""
    ends = [value for _, *values in rows for value in values] + [0.0, 100.0]
    low, high = min(ends) - 5.0, max(ends) + 5.0
    axes = Axes([low, high], [len(rows) + 0.5, 0.5], "normalized score", "")
    drawn = []
    for name, start, stop in bands:
        left, right = axes.x(max(start, low)), axes.x(min(stop, high))
        drawn.append(
            f'<rect class="band" x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" '
            f'height="{HEIGHT - TOP - BOTTOM}"/>'
            f"{_label((left + right) / 2, TOP + 12, name)}"
        )
    for number, (name, mean, lower, upper) in enumerate(rows, 1):
        x, y = axes.x(mean), axes.y(number)
        drawn.append(
            f'<path class="mark" d="M{axes.x(lower):.1f} {y:.1f}H{axes.x(upper):.1f}"/>'
            f'<circle class="bar" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
            f"{_label(x, y - 10, f'{name} {mean:.1f}')}"
        )
    frame = [line for line in axes.frame() if "tick up" not in line]
    return _svg("Scores and bands of the tiers", [*drawn, *frame])


def _label(x: float, y: float, text: str) -> str:
    """Text centered on a position, moved inward if it would leave the chart."""
    half = CHARACTER * len(text) / 2
    inside = min(max(x, LEFT + half), WIDTH - RIGHT - half)
    return f'<text class="tick" x="{inside:.1f}" y="{y:.1f}">{escape(text)}</text>'


def with_unit(name: str, unit: str) -> str:
    """Axis label: a name with its unit, if any."""
    return f"{name} ({unit})" if unit else name


def _relative(value: float, start: float, stop: float) -> float:
    width = stop / 2 - start / 2  # halved, so that the difference is finite
    return (value / 2 - start / 2) / width if width else 0.5


def _ticks(start: float, stop: float) -> list[float]:
    """Round numbers within the range of an axis."""
    low, high = min(start, stop), max(start, stop)
    rough = high / TICKS - low / TICKS  # divided first, since the difference may be infinite
    if not rough:
        return [low]
    power = 10.0 ** floor(log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [step * i for i in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def _shorten(value: float) -> str:
    """Short text of a tick's value."""
    return f"{value / 1_000:g}k" if abs(value) >= 10_000 else f"{round(value, 9):g}"


def _svg(title: str, parts: Sequence[str]) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>{escape(title)}</title>'
    return head + "".join(parts) + "</svg>"
