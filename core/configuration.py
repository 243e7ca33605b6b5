"""YAML files into records, with errors that name file, line, field and the mend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent

from core.errors import ConfigurationError

R = TypeVar("R", bound=BaseModel)

_MAX_BYTES = 256 * 1024
_MENDS = {
    "missing": "add this field",
    "extra_forbidden": "remove it, or mend its spelling",
}


def read_folder(folder: Path, record: type[R]) -> dict[str, R]:
    """Every `*.yaml` of a folder, by id; a folder that is not there holds nothing.

    Raises:
        ConfigurationError: one of the files is wrong.
    """
    records = {}
    for path in sorted(folder.glob("*.yaml")):
        records[path.stem] = read_file(path, record, {"id": path.stem})
    return records


def read_file(path: Path, record: type[R], extra: Mapping[str, Any] | None = None) -> R:
    """One file as a record; `extra` fields come from its name and may not stand in it.

    Raises:
        ConfigurationError: it cannot be read or does not fit the record.
    """
    tree = _parse(path)
    for name in extra or {}:
        if name in tree:
            raise ConfigurationError(
                f"{path}:{_line(tree, (name,))}: {name}: remove it; the file's name is the {name}."
            )
    try:
        return record.model_validate({**_plain(tree), **(extra or {})})
    except ValidationError as error:
        raise ConfigurationError(_explain(path, tree, error)) from error


def _parse(path: Path) -> CommentedMap:
    """The tree of one file. No tag is ever constructed and aliases are refused (YAML bombs)."""
    try:
        raw = path.read_bytes()
        if len(raw) > _MAX_BYTES:
            raise ConfigurationError(f"{path}: larger than {_MAX_BYTES} bytes; split the file.")
        text = raw.decode("utf-8")
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{path}: there is no such file; run `countersign init` for a starter."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8 text; save it as UTF-8.") from error
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}.") from error
    try:
        for event in YAML(pure=True).parse(text):
            if isinstance(event, AliasEvent):
                line = event.start_mark.line + 1
                raise ConfigurationError(f"{path}:{line}: write the value out; no aliases (*).")
        tree = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{path}:{line}: not YAML: {error.problem}.") from error
    except (YAMLError, RecursionError, ValueError) as error:
        raise ConfigurationError(f"{path}: not YAML: {error}.") from error
    if not isinstance(tree, CommentedMap):
        raise ConfigurationError(f"{path}:1: must hold `field: value` lines.")
    return tree


def _plain(node: Any) -> Any:
    """The tree as ordinary Python values."""
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, Sequence) and not isinstance(node, str | bytes):
        return [_plain(item) for item in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _explain(path: Path, tree: CommentedMap, error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        field = ".".join(str(part) for part in problem["loc"]) or "the file"
        mend = _MENDS.get(problem["type"], problem["msg"].removeprefix("Value error, "))
        lines.append(f"{path}:{_line(tree, problem['loc'])}: {field}: {mend}.")
    return "\n".join(lines)


def _line(tree: Any, location: tuple[str | int, ...]) -> int:
    """Line (from 1) of the deepest part of `location` that stands in the file."""
    node, line = tree, 1
    for part in location:
        try:
            if isinstance(node, CommentedMap) and part in node:
                line = node.lc.key(part)[0] + 1
            elif isinstance(node, CommentedSeq) and isinstance(part, int):
                line = node.lc.item(part)[0] + 1
            else:
                continue  # a discriminator's tag, which is not in the file
            node = node[part]
        except (KeyError, IndexError):
            break
    return int(line)
