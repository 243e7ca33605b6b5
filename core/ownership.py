"""Who owns what, from files that teams keep anyway: a catalogue of services, or CODEOWNERS.

CODEOWNERS is read by the library of that name (9 kB, no dependencies): GitHub's patterns, and
GitLab's sections, of which the last line that matches counts.
https://docs.github.com/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from codeowners import CodeOwners, parse_owner
from pydantic import Field, StringConstraints

from core.configuration import Lines, read_file
from core.errors import ConfigurationError
from core.records import Frozen

ChannelName = Annotated[str, StringConstraints(pattern=r"^#[a-z0-9_-]{1,79}$")]
"""A channel as people write it."""

_FILE = r"^(\.?[A-Za-z0-9_][\w-]*(\.[\w-]+)*/)*\.?[A-Za-z0-9_][\w-]*(\.[\w-]+)*$"
_MAX_BYTES = 3 * 1024 * 1024  # as GitHub
_MAX_NAME = 1000
_SECTION = re.compile(r"^\^?\[")


class Owner(Frozen):
    """A team: where it talks, and which user group is called for what is urgent."""

    channel: ChannelName
    on_call: str | None = Field(default=None, pattern=r"^[a-z0-9._-]{1,80}$")


class Service(Frozen):
    """A service and the team that owns it, by its name under `owners`."""

    owner: str = Field(min_length=1, max_length=80)


class Catalogue(Frozen):
    """A catalogue of services; names may be patterns such as `acme/*`."""

    services: dict[str, Service] = Field(max_length=5000)
    owners: dict[str, Owner] = Field(max_length=1000)


class OwnerRule(Frozen):
    """That something goes to its owner's channel.

    Attributes:
        of: what is looked up, by `${event.…}` references: a service, a repository, or paths (a
            text, or a list of which the first that has an owner counts).
        file: `….yaml`, a catalogue; else a CODEOWNERS file. Relative to the configuration folder.
        channels: for a CODEOWNERS file the channel of each owner that stands in it.
    """

    of: str = Field(min_length=1, max_length=500)
    file: str = Field(pattern=_FILE, max_length=200)
    channels: dict[str, ChannelName] = Field(default_factory=dict, max_length=500)

    @property
    def is_catalogue(self) -> bool:
        """Whether the file is a catalogue of services."""
        return self.file.endswith(".yaml")


class Owners(ABC):
    """What one file says."""

    @abstractmethod
    def of(self, name: str) -> Owner | None:
        """The owner of a service or path; None where the file names none."""


class _CatalogueOwners(Owners):
    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def of(self, name: str) -> Owner | None:
        services = self._catalogue.services
        found = services.get(name) or next(
            (one for pattern, one in services.items() if fnmatchcase(name, pattern)), None
        )
        return None if found is None else self._catalogue.owners[found.owner]


class _CodeOwners(Owners):
    def __init__(self, read: CodeOwners, channels: Mapping[str, str]) -> None:
        self._read = read
        self._channels = channels

    def of(self, name: str) -> Owner | None:
        for _, owner in self._read.of(name.lstrip("/")[:_MAX_NAME]):
            if channel := self._channels.get(owner):
                return Owner(channel=channel)
        return None


def read_owners(folder: Path, rule: OwnerRule) -> Owners:
    """The file of a rule.

    Raises:
        ConfigurationError: it cannot be read or does not fit; the message has a line for each
            problem, with file and line.
    """
    path = folder / rule.file
    if rule.is_catalogue:
        if rule.channels:
            raise ConfigurationError(
                f"{path}: 'channels' is for a CODEOWNERS file; a catalogue has its own under "
                "'owners'."
            )
        return _CatalogueOwners(_catalogue(path))
    return _code_owners(path, rule)


def _catalogue(path: Path) -> Catalogue:
    catalogue = read_file(path, Catalogue)
    lines = Lines(path)
    known = ", ".join(catalogue.owners) or "none"
    problems = [
        f"{path}:{lines.of(('services', name, 'owner'))}: services.{name}.owner: there is no "
        f"'{service.owner}' under owners; there is {known}."
        for name, service in catalogue.services.items()
        if service.owner not in catalogue.owners
    ]
    if problems:
        raise ConfigurationError("\n".join(problems))
    return catalogue


def _code_owners(path: Path, rule: OwnerRule) -> Owners:
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}.") from error
    if len(raw) > _MAX_BYTES:
        raise ConfigurationError(f"{path}: larger than {_MAX_BYTES} bytes.")
    problems = list(_line_problems(path, text))
    if problems:
        raise ConfigurationError("\n".join(problems))
    read = CodeOwners(text)
    named = {owner for _, _, owners, _, _ in read.paths for _, owner in owners}
    if missing := [owner for owner in rule.channels if owner not in named]:
        there = ", ".join(sorted(named)[:20]) or "nobody"
        raise ConfigurationError(
            f"{path}: 'channels' names {', '.join(missing)}, whom the file does not; it names "
            f"{there}."
        )
    if not rule.channels:
        raise ConfigurationError(
            f"{path}: give 'channels' beside it: for each owner, such as @acme/shop, its channel."
        )
    return _CodeOwners(read, rule.channels)


def _line_problems(path: Path, text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), start=1):
        written = line.split(" #", 1)[0].strip()
        if not written or written.startswith("#"):
            continue
        if _SECTION.match(written):
            if not written.endswith("]") or re.search(r"\]\s*\[", written):
                yield (
                    f"{path}:{number}: owners of a whole section are not read: write them on its "
                    "lines, and the section's name alone in brackets."
                )
            continue
        try:
            CodeOwners(written)
        except (ValueError, re.error) as error:
            yield f"{path}:{number}: the pattern cannot be read: {error}."
        for word in written.replace("\\ ", "_").split()[1:]:
            if parse_owner(word) is None:
                yield (
                    f"{path}:{number}: '{word:.80}' is no owner: write @person, @group/team or an "
                    "e-mail address."
                )
