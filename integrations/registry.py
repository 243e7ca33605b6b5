"""From records to living integrations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any

from core.errors import ConfigurationError, NotFoundError
from core.records import Risk
from core.security.secrets import Secrets
from core.state import AIIntegration, IntakeLimits
from core.workflows.actions import Action
from integrations.base import Integration

ENTRY_POINT_GROUP = "countersign.integrations"

_LIMITS = IntakeLimits()

Kinds = Mapping[str, type[Integration]]


class Integrations:
    """The enabled integrations, by id."""

    def __init__(
        self, by_id: Mapping[str, Integration], limits: Mapping[str, IntakeLimits] | None = None
    ) -> None:
        self._by_id = dict(by_id)
        self._limits = dict(limits or {})

    def get(self, integration_id: str) -> Integration:
        """The integration of that id.

        Raises:
            NotFoundError: there is none; the message lists those there are.
        """
        if integration_id not in self._by_id:
            known = ", ".join(sorted(self._by_id)) or "none"
            raise NotFoundError(
                f"There is no integration '{integration_id:.63}'. Known integrations: {known}."
            )
        return self._by_id[integration_id]

    def limits(self, integration_id: str) -> IntakeLimits:
        """How much of its webhooks is taken."""
        return self._limits.get(integration_id, _LIMITS)

    def actions(self) -> list[Action[Any]]:
        """The actions of all of them."""
        return [action for integration in self for action in integration.actions()]

    def found(self) -> dict[str, Action[Any]]:
        """What all of them have found out since they were started; see `Integration.found`."""
        return {name: one for integration in self for name, one in integration.found().items()}

    def expected(self, name: str) -> Risk | None:
        """See `Integration.expected`."""
        risks = (integration.expected(name) for integration in self)
        return next((risk for risk in risks if risk is not None), None)

    async def look_again(self, name: str) -> None:
        """Let those look again that may find out an action of that name."""
        for integration in self:
            if integration.expected(name) is not None:
                await integration.look_again()

    async def start(self) -> None:
        """Open all; where one fails, those opened already are closed again."""
        try:
            for integration in self:
                await integration.start()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close all."""
        for integration in self:
            await integration.close()

    def __iter__(self) -> Iterator[Integration]:
        return iter(self._by_id.values())


def discover() -> dict[str, type[Integration]]:
    """Every kind that an installed package offers.

    Raises:
        ConfigurationError: an offered class cannot be imported, is no Integration, or two
            packages offer one kind.
    """
    found = entry_points(group=ENTRY_POINT_GROUP)
    counts = Counter(point.name for point in found)
    kinds: dict[str, type[Integration]] = {}
    for point in found:
        package = point.dist.name if point.dist else "an unnamed package"
        if counts[point.name] > 1:
            raise ConfigurationError(
                f"Two packages offer the integration kind '{point.name}', one is {package}: "
                f"uninstall one."
            )
        try:
            offered = point.load()
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(
                f"The integration kind '{point.name}' of {package} cannot be loaded: {error}."
            ) from error
        if not (isinstance(offered, type) and issubclass(offered, Integration)):
            raise ConfigurationError(
                f"The integration kind '{point.name}' of {package} is not a subclass of "
                f"integrations.base.Integration: mend its entry point {point.value}."
            )
        kinds[point.name] = offered
    return kinds


def load(
    records: Mapping[str, AIIntegration], secrets: Secrets, kinds: Kinds | None = None
) -> Integrations:
    """Make every enabled integration; `kinds` defaults to what is installed.

    Raises:
        ConfigurationError: at least one cannot be made; the message has a line for each.
    """
    kinds = discover() if kinds is None else kinds
    made: dict[str, Integration] = {}
    problems: list[str] = []
    for record in records.values():
        if not record.enabled:
            continue
        if record.kind not in kinds:
            known = ", ".join(sorted(kinds)) or "none; install the package countersign-bot"
            problems.append(
                f"integrations/{record.id}.yaml: kind: there is no kind '{record.kind}'; "
                f"known: {known}."
            )
            continue
        try:
            made[record.id] = kinds[record.kind].create(record, secrets)
        except ConfigurationError as error:
            problems.append(str(error))
    problems += _twice(made)
    if problems:
        raise ConfigurationError("\n".join(problems))
    return Integrations(made, {record.id: record.intake for record in records.values()})


def _twice(made: Mapping[str, Integration]) -> list[str]:
    """An action's name must mean one thing in a plan."""
    owners: dict[str, str] = {}
    problems = []
    for integration_id, integration in made.items():
        for action in integration.actions():
            owner = owners.setdefault(action.name, integration_id)
            if owner != integration_id:
                problems.append(
                    f"integrations/{integration_id}.yaml: offers the action {action.name} as "
                    f"integrations/{owner}.yaml does: join the two files, or disable one."
                )
    return problems
