"""Payloads of real senders, altered: as a tree of JSON, as bytes, and in their headers."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

PAYLOADS = Path(__file__).parents[1] / "integrations" / "payloads"

Place = tuple[str | int, ...]
Draw = Callable[[st.SearchStrategy[Any]], Any]


def _deep(levels: int) -> Any:
    value: Any = "end"
    for level in range(levels):
        value = {"deeper": value} if level % 2 else [value]
    return value


ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2**31, 2**63, -(2**64), 10**400, 0.5, -0.0, 1e308, 1e-320),
    *("", " ", "\n\t", "\x00", "a\x00b", "\x1b[31m", "\u202eabc", "\u2028", "\ufeff", "\ud800"),
    *("é" * 400, "😀" * 200, "x" * 70_000, "a." * 500, "0", "-1", "1e9", "9" * 5000, "NaN"),
    *("<!channel>", "<@U1>", "*`_~", "${body}", "{{7*7}}", "../../etc", "'; --", "%00", "#"),
    *("javascript:alert(1)", "http://", "https://x/" + "y" * 5000, "//x", "HTTPS://x|y>z"),
    *("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
    *("2026-02-30T00:00:00Z", "2026-05-01", "2026-05-01T10:00:00.123456789+00:00", "yesterday"),
    *(253_402_300_800, -62_135_596_801, 1_767_225_600_000, 1e18),
    *([], {}, [[]], [None], [{}], {"": ""}, {"a": {"b": []}}, ["x"] * 1000, [{}] * 300),
    *(_deep(20), _deep(60)),
)
_TEXTS = st.text(max_size=30)
_HEADER_TEXTS = st.sampled_from(
    ["", " ", "x", "é", "\udcff", "%ff", "%00", "a" * 9000, "*", "true", "0", "push", "\x7f", ",;="]
)


@dataclass(frozen=True)
class Sample:
    """A payload as a sender sends it, with the headers that matter to reading it."""

    name: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def places(self) -> list[Place]:
        """Where something can be altered in it."""
        return list(_places(json.loads(self.body), ()))


def samples(kind: str) -> list[Sample]:
    """The stored payloads of a kind of integration."""
    found = []
    for path in sorted((PAYLOADS / kind).glob("*.json")):
        if path.name.endswith(".headers.json"):
            continue
        beside = path.with_name(f"{path.stem}.headers.json")
        headers = json.loads(beside.read_text()) if beside.exists() else {}
        found.append(Sample(path.stem, path.read_bytes(), headers))
    return found


def _places(value: Any, place: Place) -> Iterator[Place]:
    yield place
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, (*place, key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _places(item, (*place, position))


@st.composite
def altered(draw: Draw, sample: Sample) -> tuple[bytes, dict[str, str]]:
    """A body and headers that are the sample's no more."""
    how = draw(st.integers(0, 9))
    body = sample.body
    if how < 8:
        tree = json.loads(body)
        for _ in range(draw(st.integers(1, 4))):
            tree = _alter(draw, tree, draw(st.sampled_from(sample.places)))
        body = json.dumps(tree, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if how >= 7:
        body = _alter_bytes(draw, body)
    headers = dict(sample.headers)
    if headers and draw(st.integers(0, 3)) == 0:
        name = draw(st.sampled_from(sorted(headers)))
        del headers[name]
        if draw(st.booleans()):
            headers[name] = draw(_HEADER_TEXTS)
    return body, headers


def _alter(draw: Draw, tree: Any, place: Place) -> Any:
    """One alteration at a place, if an earlier one has not removed it."""
    if not place:
        return draw(st.sampled_from(ODD_VALUES)) if draw(st.integers(0, 9)) == 0 else [tree]
    parent = tree
    for key in place[:-1]:
        parent = _child(parent, key)
    last = place[-1]
    current = _child(parent, last)
    if current is _GONE:
        return tree
    how = draw(st.integers(0, 7))
    if how == 0:
        del parent[last]
    elif how == 1:
        parent[last] = draw(_TEXTS)
    elif how == 2:
        parent[last] = [current] * draw(st.sampled_from([1, 2, 400]))
    elif how == 3 and isinstance(parent, dict):
        parent[draw(_TEXTS)] = parent.pop(last)
    elif how == 4 and isinstance(current, str):
        parent[last] = current + draw(st.sampled_from(["\n", "\x00", "😀", "é" * 300, "/..", " "]))
    else:
        parent[last] = draw(st.sampled_from(ODD_VALUES))
    return tree


_GONE = object()


def _child(parent: Any, key: str | int) -> Any:
    if isinstance(parent, dict) and isinstance(key, str):
        return parent.get(key, _GONE)
    if isinstance(parent, list) and isinstance(key, int) and key < len(parent):
        return parent[key]
    return _GONE


def _alter_bytes(draw: Draw, body: bytes) -> bytes:
    at = draw(st.integers(0, len(body)))
    to = min(len(body), at + draw(st.sampled_from([0, 1, 2, 50])))
    new = draw(st.sampled_from([b"", b"\xff", b"\x00", b'"', b"[" * 3000, b"\\ud800", b"9" * 9000]))
    return body[:at] + new + body[to:]
