"""Folders of Markdown files -> documents. Files are hostile until read: everything is bounded."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, NodeEvent

from core.errors import CountersignError
from core.knowledge.outline import block_parser, headings

MAX_FILE_BYTES = 256 * 1024
MAX_LINE_CHARS = 20_000
MAX_FRONT_MATTER_CHARS = 16 * 1024
MAX_FRONT_MATTER_DEPTH = 8
MAX_FOLDER_DEPTH = 16
MAX_DOCUMENTS = 10_000


class ReadingError(CountersignError):
    """A document cannot be read; the message names the file, the reason and the mend."""


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, str) else value


_Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
_Names = Annotated[tuple[_Name, ...], BeforeValidator(_one_or_many), Field(max_length=100)]


class FrontMatter(BaseModel):
    """What a document says about itself, in YAML between two lines `---` at its beginning.

    Attributes:
        alerts: names of the alerts (label `alertname`) that the document is the answer to.
        services: the services that it is about.
        owner: the team that keeps it right.
        title: only needed where the document has no first-level heading.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    alerts: _Names = ()
    services: _Names = ()
    owner: _Name | None = None
    title: _Name | None = None


class Document(BaseModel):
    """A Markdown file.

    Attributes:
        path: relative to its folder, with `/`.
        body: the Markdown after the front matter, lines ended by `\\n`.
        first_line: number of the body's first line in the file, counted from 1.
        digest: SHA-256 of the file, in hex.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    title: str
    body: str
    first_line: int
    digest: str
    front_matter: FrontMatter


class FileState(NamedTuple):
    """What tells cheaply whether a file is still the one that was read."""

    modified_ns: int
    size: int
    inode: int


class ReadFile(NamedTuple):
    """One file's last reading: a document, or the reason why there is none."""

    state: FileState
    document: Document | None
    problem: str | None


def read_folders(
    folders: Sequence[Path], known: Mapping[str, ReadFile] | None = None
) -> tuple[dict[str, ReadFile], list[str]]:
    """Read all `*.md` files below the folders; names that begin with a dot are left out.

    `known` is the result of the last call, keyed by the file's real path: what has not changed is
    taken from there. Blocking; returns the files by path, and problems that belong to no file.
    """
    known = known or {}
    files: dict[str, ReadFile] = {}
    owners: dict[str, str] = {}
    problems: list[str] = []
    for folder in folders:
        if not folder.is_dir():
            problems.append(f"{folder}: there is no such folder; create it or correct the setting")
            continue
        root = folder.resolve()
        for path in _markdown_files(root, problems):
            if len(files) >= MAX_DOCUMENTS:
                problems.append(
                    f"{folder}: more than {MAX_DOCUMENTS} documents; the rest is left out"
                )
                return files, problems
            name = path.relative_to(root).as_posix()
            if name in owners:
                problems.append(f"{path}: {owners[name]} has the same name; rename one of them")
                continue
            owners[name] = str(path)
            files[str(path)] = _read_file(path, name, root, known.get(str(path)))
    return files, problems


def _markdown_files(root: Path, problems: list[str]) -> Iterator[Path]:
    """Walk in a fixed order. Linked folders are not entered: links may lead in circles."""
    pending = [(root, 0)]
    while pending:
        folder, depth = pending.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            problems.append(f"{folder}: cannot be listed ({error.strerror}); check its permissions")
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                if depth + 1 > MAX_FOLDER_DEPTH:
                    problems.append(
                        f"{entry.path}: more than {MAX_FOLDER_DEPTH} folders deep; move it up"
                    )
                else:
                    pending.append((Path(entry.path), depth + 1))
            elif entry.name.lower().endswith(".md"):
                yield Path(entry.path)


def _read_file(path: Path, name: str, root: Path, known: ReadFile | None) -> ReadFile:
    state = FileState(0, 0, 0)
    try:
        target = _inside(root, path)
        found = target.stat()
        state = FileState(found.st_mtime_ns, found.st_size, found.st_ino)
        if known is not None and known.state == state:
            return known
        raw = _read_bytes(target, path)
        return ReadFile(state, parse_document(raw, name, str(path), known), None)
    except ReadingError as error:
        return ReadFile(state, None, str(error))
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, from `resolve`
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return ReadFile(state, None, f"{path}: cannot be read ({reason}); check the file")


def _inside(root: Path, path: Path) -> Path:
    target = path.resolve(strict=True)
    if not target.is_relative_to(root):
        raise ReadingError(
            f"{path}: is a link that leaves {root}; put a copy of the file into the folder"
        )
    return target


def _read_bytes(target: Path, shown: Path) -> bytes:
    # O_NONBLOCK: a named pipe called x.md must not stop us. O_NOFOLLOW: `target` was resolved, so a
    # link here was put in place after the check.
    handle = os.open(target, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ReadingError(f"{shown}: is not a regular file; remove it from the folder")
        raw = file.read(MAX_FILE_BYTES + 1)
    if len(raw) > MAX_FILE_BYTES:
        raise ReadingError(
            f"{shown}: is larger than {MAX_FILE_BYTES // 1024} KiB; split it into several documents"
        )
    return raw


def parse_document(raw: bytes, name: str, shown: str, known: ReadFile | None = None) -> Document:
    """Make a document of a file's bytes.

    `name` is its path in the folder, `shown` how messages call it. Raises `ReadingError`.
    """
    digest = hashlib.sha256(raw).hexdigest()
    if known is not None and known.document is not None and known.document.digest == digest:
        return known.document
    text = _decode(raw, shown)
    front_matter, body, first_line = _split_front_matter(text, shown)
    return Document(
        path=name,
        title=_first_title(body) or front_matter.title or Path(name).stem.replace("-", " "),
        body=body,
        first_line=first_line,
        digest=digest,
        front_matter=front_matter,
    )


def _decode(raw: bytes, shown: str) -> str:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ReadingError(
            f"{shown}: line {line}: byte 0x{raw[error.start]:02x} is not UTF-8; "
            "save the file as UTF-8"
        ) from error
    if "\0" in text:
        raise ReadingError(f"{shown}: contains NUL bytes, so it is not text; remove it")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for number, line_text in enumerate(text.split("\n"), start=1):
        if len(line_text) > MAX_LINE_CHARS:
            raise ReadingError(
                f"{shown}: line {number} has more than {MAX_LINE_CHARS} characters; break it"
            )
    return text


def _split_front_matter(text: str, shown: str) -> tuple[FrontMatter, str, int]:
    if not text.startswith("---\n"):
        return FrontMatter(), text, 1
    end = text.find("\n---\n", 3)
    if end < 0:
        if text.endswith("\n---"):
            end = len(text) - 4
        else:
            return FrontMatter(), text, 1  # a thematic break at the top of ordinary Markdown
    source = text[4:end]
    if len(source) > MAX_FRONT_MATTER_CHARS:
        raise ReadingError(
            f"{shown}: front matter of more than {MAX_FRONT_MATTER_CHARS} characters; shorten it"
        )
    body = text[end + 5 :]
    return _parse_front_matter(source, shown), body, text.count("\n", 0, end + 4) + 2


def _parse_front_matter(source: str, shown: str) -> FrontMatter:
    try:
        _refuse_tricks(source, shown)
        values = YAML(typ="safe", pure=True).load(source)
        return FrontMatter.model_validate({} if values is None else values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "front matter"
        raise ReadingError(
            f"{shown}: {field}: {first['msg']}; write it like `alerts: [HighErrorRate]`"
        ) from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # The YAML begins on the file's second line.
        line = f"line {mark.line + 2}: " if mark is not None else ""
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise ReadingError(f"{shown}: {line}front matter is not YAML: {problem}") from None
    except ValueError:  # such as the 13th month of a date
        raise ReadingError(
            f"{shown}: front matter: a number or date cannot be read; put the value into quotes"
        ) from None


def _refuse_tricks(source: str, shown: str) -> None:
    """Refuse what makes YAML explode or recurse, before anything is built from it."""
    depth = 0
    for event in YAML(typ="safe", pure=True).parse(source):
        name = type(event).__name__
        if isinstance(event, AliasEvent) or (isinstance(event, NodeEvent) and event.anchor):
            raise ReadingError(f"{shown}: front matter may not use anchors (&, *); write it out")
        if getattr(event, "tag", None) is not None:
            raise ReadingError(f"{shown}: front matter may not use tags (!); write plain values")
        if name.endswith(("SequenceStartEvent", "MappingStartEvent")):
            depth += 1
        elif name.endswith(("SequenceEndEvent", "MappingEndEvent")):
            depth -= 1
        if depth > MAX_FRONT_MATTER_DEPTH:
            raise ReadingError(f"{shown}: front matter is nested too deep; use plain lists")


def _first_title(body: str) -> str | None:
    found = headings(block_parser().parse(body))
    return next((each.title for each in found if each.level == 1 and each.title), None)
