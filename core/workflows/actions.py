"""Actions: the typed things that a step can do, offered by integrations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, Field, JsonValue, ValidationError

from core.errors import CountersignError, InvalidRequestError, NotFoundError
from core.records import Frozen, Idempotency, Place, Risk, StorableText, StorableValues
from core.workflows.definition import Parameter
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


class Standalone(Frozen):
    """What people must know to ask for an action by itself, without a workflow's file.

    Attributes:
        title: a few words.
        origin: where its risk and its arguments come from, for people.
        says: what the other side says of it; nobody of the team has written that.
        parameters: of its arguments, those that can be given.
        required: those that must be given.
    """

    title: str = Field(max_length=80)
    origin: str
    says: str
    parameters: dict[str, Parameter]
    required: frozenset[str]


class Action(ABC, Generic[A]):
    """One thing that can be done.

    Subclasses set the class attributes and are constructed by their integration with what they
    need (a client, a folder). `name` is `<family>.<verb>`; `output_kind` says whether a model
    writes the output, which nobody trusts then.

    Attributes:
        pin: digest of its definition, where that comes from outside: a plan holds it, and a step
            whose action has another one by its turn is not run.
        standalone: set where people can ask for it by itself.
    """

    pin: str | None = None
    standalone: Standalone | None = None

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


class Discovery(Protocol):
    """Actions that are found out while we run, such as the tools of a server that is asked."""

    def found(self) -> Mapping[str, Action[Any]]:
        """Those known now, by name."""
        ...

    def expected(self, name: str) -> Risk | None:
        """The risk of an action of that name, where one may still be found out."""
        ...

    async def look_again(self, name: str) -> None:
        """Find out anew what there is of that name; where that fails, all stays as it was."""
        ...


class ActionRegistry:
    """The actions of all integrations, by name.

    Args:
        actions: known from the beginning; their names are theirs.
        discovery: of those that come later.
    """

    def __init__(
        self, actions: Iterable[Action[Any]] = (), discovery: Discovery | None = None
    ) -> None:
        self._discovery = discovery
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
        if (action := self._actions.get(name) or self._found().get(name)) is not None:
            return action
        if self.expected(name) is not None:
            raise NotFoundError(
                f"There is no action '{name}' now: its server does not offer it, or has not "
                "answered since we started."
            )
        known = ", ".join(sorted(self._actions)) or "none"
        raise NotFoundError(f"There is no action '{name}'. Known actions: {known}.")

    def expected(self, name: str) -> Risk | None:
        """The risk of an action that is not there, where one of that name may still be found out;
        None for all others."""
        if name in self._actions or self._discovery is None:
            return None
        return self._discovery.expected(name)

    async def catch_up(self, name: str, pin: str | None) -> None:
        """Look again for what a plan means by `name`, where it is not there or defined otherwise:
        another replica may have heard of it before us."""
        if pin is None or self._discovery is None or name in self._actions:
            return
        known = self._found().get(name)
        if known is None or known.pin != pin:
            await self._discovery.look_again(name)

    def __iter__(self) -> Iterator[Action[Any]]:
        found = self._found().items()
        yield from self._actions.values()
        yield from (action for name, action in found if name not in self._actions)

    def _found(self) -> Mapping[str, Action[Any]]:
        return {} if self._discovery is None else self._discovery.found()
