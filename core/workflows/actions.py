"""Actions: the typed things that a step can do, offered by integrations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, Field, JsonValue, ValidationError

from core.errors import CountersignError, InvalidRequestError, NotFoundError
from core.records import Frozen, Idempotency, Place, Risk, StorableText, StorableValues
from core.workflows.pictures import Picture

A = TypeVar("A", bound=BaseModel)


class ActionError(CountersignError):
    """The action could not do what it was asked; the message says why and what to do."""


class OutcomeUnknownError(CountersignError):
    """The action was sent, and nobody can say whether it took effect; a person must look."""


@dataclass(frozen=True)
class ActionContext:
    """Who asks, and under which key.

    Attributes:
        key: the same for every attempt of one step of one run, different for all others.
        repeated: an earlier attempt was started and its outcome is not known; a KEYED action
            must look for its own effect before it acts.
        place: where the run is talked about.
    """

    run_id: str
    step_id: str
    key: str
    repeated: bool
    requester: str
    place: Place


class ActionResult(Frozen):
    """What an action did.

    Attributes:
        summary: one line for the thread.
        output: longer text such as a program's output; untrusted.
        values: for later steps' `${steps.ID.NAME}`.
        link: where the effect can be looked at.
        picture: shown in the run's thread; nothing is decided by it.
    """

    summary: StorableText
    output: StorableText = ""
    values: StorableValues = Field(default_factory=dict)
    link: StorableText | None = None
    picture: Picture | None = None


class Action(ABC, Generic[A]):
    """One thing that can be done.

    Subclasses set the class attributes and are constructed by their integration with what they
    need (a client, a folder). `name` is `<family>.<verb>`; `output_kind` says whether a model
    writes the output, which nobody trusts then.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    risk: ClassVar[Risk]
    idempotency: ClassVar[Idempotency]
    output_kind: ClassVar[Literal["system", "model"]] = "system"
    arguments: type[A]

    def idempotency_of(self, arguments: A) -> Idempotency:  # noqa: ARG002 - subclasses use it
        """The idempotency for these arguments; by default the class's."""
        return self.idempotency

    def risk_of(self, arguments: A) -> Risk:  # noqa: ARG002 - subclasses use it
        """The risk for these arguments; by default the class's."""
        return self.risk

    def only_looks(self, arguments: A) -> bool:
        """Whether nothing is left behind; a keyed action leaves what it looks for when repeated."""
        keyed = self.idempotency_of(arguments) is Idempotency.KEYED
        return self.risk_of(arguments) is Risk.READ and not keyed

    @abstractmethod
    def describe(self, arguments: A) -> str:
        """One line of plain text that says exactly what will be done, for the card."""

    async def preview(self, arguments: A) -> str | None:  # noqa: ARG002 - subclasses use it
        """A dry run's output as plain text; None where the system has none. Has no effect.

        Raises:
            ActionError: the dry run failed, so the real one would too.
        """
        return None

    @abstractmethod
    async def execute(self, arguments: A, context: ActionContext) -> ActionResult:
        """Do it.

        Raises:
            ActionError: it was not done.
            OutcomeUnknownError: it may have been done.
        """

    def read(self, values: dict[str, JsonValue]) -> A:
        """Validate a step's rendered arguments.

        Raises:
            InvalidRequestError: they do not fit; the message names each.
        """
        try:
            return self.arguments.model_validate(values)
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(str(part) for part in e['loc']) or 'arguments'}: {e['msg']}"
                for e in error.errors(include_url=False, include_input=False)
            )
            raise InvalidRequestError(f"{self.name}: {problems}") from error


class ActionRegistry:
    """The actions of all integrations, by name."""

    def __init__(self, actions: Iterable[Action[Any]] = ()) -> None:
        self._actions: dict[str, Action[Any]] = {}
        for action in actions:
            if action.name in self._actions:
                raise ValueError(f"two actions are named {action.name}")
            self._actions[action.name] = action

    def get(self, name: str) -> Action[Any]:
        """The action of that name.

        Raises:
            NotFoundError: there is none; the message lists those there are.
        """
        if name not in self._actions:
            known = ", ".join(sorted(self._actions)) or "none"
            raise NotFoundError(f"There is no action '{name}'. Known actions: {known}.")
        return self._actions[name]

    def __iter__(self) -> Iterator[Action[Any]]:
        return iter(self._actions.values())
