"""YAML files into records, with errors that name file, line, field and the mend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.reader import ReaderError

from core.errors import ConfigurationError

R = TypeVar("R", bound=BaseModel)

_MAX_BYTES = 256 * 1024
_MAX_DEPTH = 40
_MENDS = {
    "missing": "add this field",
    "extra_forbidden": "remove it, or mend its spelling",
}
_NO_CHANNEL = frozenset({"string_pattern_mismatch", "string_type"})


def read_folder(folder: Path, record: type[R]) -> dict[str, R]:
    """Every `*.yaml` of a folder, by id; a folder that is not there holds nothing.

    Raises:
        ConfigurationError: one of the files is wrong.
    """
    records = {}
    for path in sorted(folder.glob("*.yml")):
        raise ConfigurationError(f"{path}: rename it to {path.stem}.yaml, or it is not read.")
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
        raise ConfigurationError(_explain(path, tree, error, extra or {})) from error


class Lines:
    """Where the fields of a file are; nowhere, where it cannot be read (any more)."""

    def __init__(self, path: Path) -> None:
        try:
            self._tree: CommentedMap | None = _parse(path)
        except ConfigurationError:
            self._tree = None

    def of(self, location: tuple[str | int, ...]) -> int | None:
        """The line (from 1) of the deepest part of `location` that stands in the file."""
        return None if self._tree is None else _line(self._tree, location)


def _parse(path: Path) -> CommentedMap:
    """The tree of one file. Tags and aliases are refused, so nothing but plain values is made."""
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
        _refuse_bombs(path, text)
        tree = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{path}:{line}: not YAML: {error.problem}.") from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigurationError(f"{path}:{line}: not YAML: {error.reason}.") from error
    except (YAMLError, RecursionError, ValueError) as error:
        raise ConfigurationError(f"{path}: not YAML: {error}.") from error
    if not isinstance(tree, CommentedMap):
        raise ConfigurationError(f"{path}:1: must hold `field: value` lines.")
    return tree


def _refuse_bombs(path: Path, text: str) -> None:
    """Look at the events of the file, which cost nothing, before anything is made of them."""
    depth = 0
    for event in YAML(pure=True).parse(text):
        line = event.start_mark.line + 1
        if getattr(event, "anchor", None):
            raise ConfigurationError(f"{path}:{line}: write the value out; no anchors, no aliases.")
        if getattr(event, "tag", None):
            raise ConfigurationError(f"{path}:{line}: write the value without a tag ({event.tag}).")
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise ConfigurationError(f"{path}:{line}: nested deeper than {_MAX_DEPTH} levels.")


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


def _explain(
    path: Path, tree: CommentedMap, error: ValidationError, extra: Mapping[str, Any]
) -> str:
    lines = []
    problems = error.errors(include_url=False)
    inside = {
        problem["loc"][:length] for problem in problems for length in range(len(problem["loc"]))
    }
    for problem in problems:
        if problem["type"] == "too_short" and problem["loc"] in inside:
            continue  # pydantic counts only the items that are right
        if problem["loc"] and problem["loc"][0] in extra:
            lines.append(f"{path}: rename the file: lower-case words joined by hyphens, .yaml.")
            continue
        field = ".".join(str(part) for part in problem["loc"]) or "the file"
        mend = _MENDS.get(problem["type"], problem["msg"].removeprefix("Value error, ").rstrip("."))
        if problem["loc"][-1:] == ("channel",) and problem["type"] in _NO_CHANNEL:
            mend = 'write a channel in quotes, such as "#deploys"; unquoted, # begins a comment'
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
