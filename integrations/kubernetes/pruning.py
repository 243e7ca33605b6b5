"""Objects as people read them: without what is long, and without what may be secret."""

from __future__ import annotations

import io

from pydantic import JsonValue
from ruamel.yaml import YAML

from integrations.kubernetes.payloads import Raw

_LEFT_OUT = frozenset(
    {"managedFields", "annotations", "env", "envFrom", "command", "args", "uid", "resourceVersion"}
)


def as_yaml(value: Raw) -> str:
    """The object as YAML, without its environment variables, commands, arguments, annotations."""
    text = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 120
    yaml.dump(_pruned(value), text)
    return text.getvalue()


def _pruned(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {name: _pruned(item) for name, item in value.items() if name not in _LEFT_OUT}
    if isinstance(value, list):
        return [_pruned(item) for item in value]
    return value
