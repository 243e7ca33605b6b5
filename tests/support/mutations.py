"""Payloads of real senders, altered: as a tree of JSON, as bytes, and in their headers."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

PAYLOADS = Path(__file__).parents[1] / "integrations" / "payloads"

Place = tuple[str | int, ...]


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
_HEADER_TEXTS = (
    *("", " ", "x", "é", "\udcff", "%ff", "%00", "a" * 9000, "*", "true", "0", "push", "\x7f"),
    ",;=",
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


def altered(chance: Random, sample: Sample) -> tuple[bytes, dict[str, str]]:
    """A body and headers that are the sample's no more; mostly still JSON."""
    how = chance.randrange(10)
    body = sample.body
    if how < 8:
        tree = json.loads(body)
        for _ in range(chance.randint(1, 4)):
            tree = _alter(chance, tree, chance.choice(sample.places))
        ascii_only = chance.random() < 0.5
        body = json.dumps(tree, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    if how >= 7:
        body = _alter_bytes(chance, body)
    headers = dict(sample.headers)
    if headers and chance.random() < 0.25:
        name = chance.choice(sorted(headers))
        del headers[name]
        if chance.random() < 0.5:
            headers[name] = chance.choice(_HEADER_TEXTS)
    return body, headers


def _alter(chance: Random, tree: Any, place: Place) -> Any:
    """One alteration at a place, if an earlier one has not removed it."""
    if not place:
        return chance.choice(ODD_VALUES) if chance.random() < 0.1 else [tree]
    parent = tree
    for key in place[:-1]:
        parent = _child(parent, key)
    last = place[-1]
    current = _child(parent, last)
    if current is _GONE:
        return tree
    how = chance.randrange(8)
    if how == 0:
        del parent[last]
    elif how == 1:
        parent[last] = _text(chance)
    elif how == 2:
        parent[last] = [current] * chance.choice([1, 2, 60])
    elif how == 3 and isinstance(parent, dict):
        parent[_text(chance)] = parent.pop(last)
    elif how == 4 and isinstance(current, str):
        parent[last] = current + chance.choice(["\n", "\x00", "😀", "é" * 300, "/..", " "])
    else:
        parent[last] = chance.choice(ODD_VALUES)
    return tree


def _text(chance: Random) -> str:
    """Up to 20 characters of every plane, surrogates too."""
    ends = (0x7F, 0x7F, 0x7FF, 0xFFFF, 0x10FFFF)
    return "".join(chr(chance.randint(0, chance.choice(ends))) for _ in range(chance.randrange(20)))


_GONE = object()


def _child(parent: Any, key: str | int) -> Any:
    if isinstance(parent, dict) and isinstance(key, str):
        return parent.get(key, _GONE)
    if isinstance(parent, list) and isinstance(key, int) and key < len(parent):
        return parent[key]
    return _GONE


def _alter_bytes(chance: Random, body: bytes) -> bytes:
    at = chance.randint(0, len(body))
    to = min(len(body), at + chance.choice([0, 1, 2, 50]))
    new = chance.choice([b"", b"\xff", b"\x00", b'"', b"[" * 3000, b"\\ud800", b"9" * 9000])
    return body[:at] + new + body[to:]
