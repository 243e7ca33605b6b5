"""Where a problem is: file, line and field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from core.configuration import Lines

Part = str | int


@dataclass(frozen=True)
class Spot:
    """A field of a configuration file.

    Attributes:
        location: keys and positions, as the file has them.
        label: the same for people, with ids in place of positions.
    """

    file: Path
    location: tuple[Part, ...] = ()
    label: str = ""

    def at(self, *parts: Part, label: str | None = None) -> Spot:
        """A field below this one; `label` is that of the parts, if it is not the parts."""
        words = ".".join(str(part) for part in parts) if label is None else label
        joined = ".".join(word for word in (self.label, words) if word)
        return replace(self, location=(*self.location, *parts), label=joined)

    def says(self, what: str) -> Problem:
        """A problem here."""
        return Problem(self, what)

    def knows(self, name: str, known: Iterable[str]) -> Iterator[Problem]:
        """A problem if `name` is not one of `known`."""
        there = list(known)
        if name not in there:
            yield self.says(f"there is no '{name}'; there is {', '.join(there) or 'none'}.")


@dataclass(frozen=True)
class Problem:
    """Something that does not fit, and what would mend it."""

    spot: Spot
    what: str


def located(problems: Iterable[Problem]) -> list[str]:
    """`file:line: field: what and the mend`, a line each; each file is read once."""
    files: dict[Path, Lines] = {}
    told = []
    for problem in problems:
        spot = problem.spot
        if spot.file not in files:
            files[spot.file] = Lines(spot.file)
        line = files[spot.file].of(spot.location) if spot.location else None
        place = str(spot.file) if line is None else f"{spot.file}:{line}"
        told.append(": ".join(part for part in (place, spot.label, problem.what) if part))
    return told


def file_of(folder: Path, kind: str, record_id: str) -> Spot:
    """The file of a record, such as a workflow."""
    return Spot(folder / kind / f"{record_id}.yaml")
