"""A tool as the team has approved it: what the server said of it then, and what it may do here."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, JsonValue, StringConstraints

from core.canonical import canonical_digest
from core.records import Frozen, Idempotency, Risk

ToolName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,63}$")]
"""What workflows call it."""

ServerName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_./-]{1,128}$")]
"""What the server calls it."""

Patterns = Annotated[tuple[str, ...], Field(min_length=1, max_length=100)]


class ApprovedTool(Frozen):
    """A tool that workflows may call. What the server hints at (`readOnlyHint` and the like) is
    not looked at: the specification calls hints untrusted.

    Attributes:
        name: of the tool on the server; by default the name it has here.
        idempotency: `keyed` needs an argument in which the server takes a key, so there is none.
        description: as the server said when the tool was approved.
        input_schema: likewise: JSON Schema of the arguments.
        only: for an argument, the patterns (`*`, `?`, `[…]`) of which its value must match one.
    """

    listed: ClassVar[bool] = True

    name: ServerName | None = None
    risk: Risk = Risk.CHANGE
    idempotency: Idempotency = Idempotency.NONE
    description: str = Field(default="", max_length=20_000)
    input_schema: dict[str, JsonValue] = Field(max_length=50)
    only: dict[str, Patterns] = Field(default_factory=dict, max_length=50)

    @property
    def digest(self) -> str:
        """See `definition_digest`."""
        return definition_digest(self.description, self.input_schema)


class UnlistedTool(ApprovedTool):
    """A tool that the file does not list, and so nobody has approved: as its server says of it."""

    listed: ClassVar[bool] = False


def definition_digest(description: str | None, input_schema: dict[str, JsonValue]) -> str:
    """What identifies that which a server says of a tool, as `sha256:` and hexadecimal digits.

    Raises:
        ValueError: a number in the schema cannot be held exactly.
    """
    return canonical_digest({"description": description or "", "input_schema": input_schema})
