"""Which alerts a silence is about. No I/O.

https://prometheus.io/docs/alerting/latest/configuration/#matcher
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import Field, StringConstraints

from core.workflows.actions import ActionError
from integrations.alertmanager.payloads import Matcher
from integrations.text import clip

LabelName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,99}$")]
LabelValue = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Labels = Annotated[dict[LabelName, LabelValue], Field(max_length=20)]
"""Labels that an alert must have, with exactly these values. An empty value is refused: it would
match the alerts that lack the label."""

_MATCHER = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]{0,99})\s*(=~|!~|!=|=)\s*(.{0,500})", re.DOTALL)


def parse_matcher(text: str) -> Matcher:
    """Read `name="value"`, `name!="value"`, `name=~"pattern"` or `name!~"pattern"`; the quotation
    marks may be left out.

    Raises:
        ValueError: it is none of these.
    """
    found = _MATCHER.fullmatch(text.strip())
    if found is None:
        raise ValueError(f'{clip(text, 100)} is not a matcher such as name=~"pattern"')
    name, operator, value = found.groups()
    if value.startswith('"'):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueError(f"{clip(text, 100)}: the quotation marks do not fit") from error
        if not isinstance(value, str):
            raise ValueError(f"{clip(text, 100)}: the value is not text")
    return Matcher(
        name=name,
        value=value,
        is_regex=operator in {"=~", "!~"},
        is_equal=operator in {"=", "=~"},
    )


def matchers_of(labels: Mapping[str, str]) -> list[Matcher]:
    """What matches alerts that have all of these labels."""
    return [
        Matcher(name=name, value=value, is_regex=False, is_equal=True)
        for name, value in labels.items()
    ]


def shown(matchers: Iterable[Matcher]) -> str:
    """As people write them, on one line: `alertname="X", instance=~"web-.*"`."""
    return ", ".join(map(str, matchers))


class Scope:
    """What silences must name.

    Args:
        required: label names to patterns of values; each silence must be limited, with `=`, to
            one value that fits, for each of them. Empty: all silences are allowed.
    """

    def __init__(self, integration_id: str, required: Mapping[str, tuple[str, ...]]) -> None:
        self._file = f"integrations/{integration_id}.yaml"
        self._required = required

    def check(self, matchers: Iterable[Matcher]) -> None:
        """Refuse a silence that reaches further.

        Raises:
            ActionError: it does.
        """
        exact = {m.name: m.value for m in matchers if m.is_equal and not m.is_regex}
        for name, patterns in self._required.items():
            value = exact.get(name)
            if value is None or not any(fnmatchcase(value, pattern) for pattern in patterns):
                said = "is not limited to one" if value is None else f"is for {clip(value, 100)}"
                raise ActionError(
                    f"{self._file} allows silences for {name} {' or '.join(patterns)} only; this "
                    f"one {said}."
                )
