"""A small system with machines in it: one action that reads, one that changes, one that guesses."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from core.records import Idempotency, Risk
from core.workflows.actions import (
    Action,
    ActionContext,
    ActionError,
    ActionRegistry,
    ActionResult,
)


class Nothing(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Region(Nothing):
    region: str = "eu"


class Host(Nothing):
    host: str


class Machines:
    """What there is; a test changes it while everything runs."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = list(hosts)
        self.down = False
        self.reads = 0
        self.moved: list[str] = []
        self.go_on = asyncio.Event()
        self.go_on.set()


class ListMachines(Action[Region]):
    name: ClassVar[str] = "inventory.list"
    summary: ClassVar[str] = "List machines"
    risk: ClassVar[Risk] = Risk.READ
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = Region

    def __init__(self, machines: Machines) -> None:
        self.machines = machines

    def describe(self, arguments: Region) -> str:
        return f"List the machines of {arguments.region}"

    async def execute(self, arguments: Region, context: ActionContext) -> ActionResult:
        self.machines.reads += 1
        if self.machines.down:
            raise ActionError("the inventory does not answer")
        return ActionResult(
            summary=f"{len(self.machines.hosts)} machines",
            values={"hosts": list(self.machines.hosts)},
        )


class MoveMachine(Action[Host]):
    """Its dry run says where the machine stands, and fails for one that is not there; it goes on
    when the test lets it."""

    name: ClassVar[str] = "inventory.move"
    summary: ClassVar[str] = "Move a machine"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = Host

    def __init__(self, machines: Machines) -> None:
        self.machines = machines

    def describe(self, arguments: Host) -> str:
        return f"Move {arguments.host}"

    async def preview(self, arguments: Host) -> str | None:
        if arguments.host not in self.machines.hosts:
            raise ActionError(f"{arguments.host} is not there")
        return f"{arguments.host} is number {self.machines.hosts.index(arguments.host)}"

    async def execute(self, arguments: Host, context: ActionContext) -> ActionResult:
        self.machines.moved.append(arguments.host)
        await self.machines.go_on.wait()
        return ActionResult(summary=f"Moved {arguments.host}.")


class GuessMachine(Action[Nothing]):
    name: ClassVar[str] = "inventory.guess"
    summary: ClassVar[str] = "Guess a machine"
    risk: ClassVar[Risk] = Risk.READ
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    output_kind: ClassVar[Literal["system", "model"]] = "model"
    arguments = Nothing

    def describe(self, arguments: Nothing) -> str:
        return "Guess"

    async def execute(self, arguments: Nothing, context: ActionContext) -> ActionResult:
        return ActionResult(summary="A guess.")


def inventory(machines: Machines) -> list[Action[Any]]:
    """The actions of a system with these machines."""
    return [ListMachines(machines), MoveMachine(machines), GuessMachine()]


REGISTRY = ActionRegistry(inventory(Machines("web-1", "web-2")))
