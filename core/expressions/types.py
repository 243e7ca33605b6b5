"""What an expression may refer to, and of what type that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

PARAMETER_TYPES = ("string", "integer", "number", "boolean", "list")
"""A `list` is one of texts."""


@dataclass(frozen=True)
class Types:
    """What is in scope where an expression stands.

    Attributes:
        parameters: by name `string`, `integer`, `number`, `boolean`, or `list` (of texts).
        steps: ids of the steps that are done before; what they put out is known when they ran.
        each: inside a for-each, where `each` is the item, a text.
        event: of a trigger, which knows nothing else; its attributes are known when it comes.
        others: further names by type, or `any`.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    steps: frozenset[str] = frozenset()
    each: bool = False
    event: bool = False
    others: Mapping[str, str] = field(default_factory=dict)

    def problem(self, path: tuple[str, ...]) -> str | None:
        """Why nothing is at `path`, or None where something is or may be.

        Args:
            path: of `Outline.paths`; one below `parameters` or `steps` has at least two words.
        """
        root = path[0]
        if root not in self._roots():
            return f"there is no '{root}'; there is {', '.join(self._roots())}"
        known = {"parameters": sorted(self.parameters), "steps": sorted(self.steps)}.get(root)
        if known is None or path[1] in known:
            return None
        there = ", ".join(_written(root, name) for name in known) or "none"
        what = "no step that is done before has the id" if root == "steps" else "there is no"
        return f"{what} '{path[1]}'; there is {there}"

    def hyphenated(self) -> Iterator[str]:
        """Names that cannot stand after a dot, as they look where somebody writes them so."""
        for root, names in (("parameters", self.parameters), ("steps", self.steps)):
            for name in names:
                if not name.isidentifier():
                    yield f"{root}.{name}"

    def _roots(self) -> tuple[str, ...]:
        return (
            *(("event",) if self.event else ("parameters", "steps")),
            *(("each",) if self.each else ()),
            *self.others,
        )


def _written(root: str, name: str) -> str:
    return f"{root}.{name}" if name.isidentifier() else f'{root}["{name}"]'
