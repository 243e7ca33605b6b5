"""The replicas as one of those that `status` asks how they are."""

from __future__ import annotations

from dataclasses import dataclass

from core.replicas import Replica


@dataclass(frozen=True)
class ReplicaResponder:
    """Says who is alive.

    Attributes:
        replica: this one, which is at work on the answer.
    """

    replica: Replica
    name: str = "replicas"

    async def respond(self, instruction: str) -> str:  # noqa: ARG002  there is one thing to say
        """The ids of the living."""
        alive = [status.id for status in await self.replica.alive()]
        others = [id_ for id_ in alive if id_ != self.replica.id]
        return ", ".join([f"{self.replica.id} (this one)", *others])
