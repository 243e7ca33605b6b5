"""Series as lines of text: a number, a small picture, the labels. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from integrations.text import clip

_BLOCKS = "▁▂▃▄▅▆▇█"
_COLUMNS = 40
_MAX_LABELS = 300


def shown(value: float | None) -> str:
    """A value with six significant digits; `NaN` where there is none."""
    return "NaN" if value is None else f"{value:.6g}"


def labels_of(metric: Mapping[str, str]) -> str:
    """`name{label="value", …}` on one line, clipped."""
    pairs = ", ".join(
        f'{name}="{value}"' for name, value in sorted(metric.items()) if name != "__name__"
    )
    name = metric.get("__name__", "")
    return clip(f"{name}{{{pairs}}}" if pairs or not name else name, _MAX_LABELS)


def lines(rows: Sequence[tuple[str, ...]], limit: int) -> str:
    """Rows with their columns under each other, the numbers (all but the last) to the right."""
    if not rows:
        return ""
    widths = [max(len(row[at]) for row in rows[:limit]) for at in range(len(rows[0]) - 1)]
    text = [
        "  ".join([*(cell.rjust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in rows[:limit]
    ]
    if len(rows) > limit:
        text.append(f"… and {len(rows) - limit} more")
    return "\n".join(text)


def sparkline(
    points: Sequence[tuple[float, float | None]], start: float, end: float, columns: int = _COLUMNS
) -> str:
    """The course of a series between two times (seconds since 1970), a character for each slice
    of time: the mean in it between the lowest (`▁`) and the highest (`█`), a space where there is
    nothing."""
    slices: list[list[float]] = [[] for _ in range(columns)]
    width = max(end - start, 1e-9) / columns
    for at, value in points:
        if value is not None:
            slices[min(max(int((at - start) / width), 0), columns - 1)].append(value)
    means = [sum(values) / len(values) if values else None for values in slices]
    known = [mean for mean in means if mean is not None]
    if not known:
        return ""
    low, span = min(known), max(known) - min(known)
    top = len(_BLOCKS) - 1
    return "".join(
        " " if mean is None else _BLOCKS[round((mean - low) / span * top) if span else top // 2]
        for mean in means
    )
