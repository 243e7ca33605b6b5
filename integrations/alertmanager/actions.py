"""What workflows can do with Alertmanager: see what fires, mute it for a time, end that."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, field_validator

from core.records import Idempotency, Risk
from core.workflows.actions import Action, ActionContext, ActionError, ActionResult
from core.workflows.definition import Duration, spoken
from integrations.alertmanager.client import AlertmanagerApi
from integrations.alertmanager.matchers import Labels, Scope, matchers_of, parse_matcher, shown
from integrations.alertmanager.payloads import ApiAlert, Matcher, Silence
from integrations.text import clip

_SHOWN = 15
_KEPT = 100


class AlertsArguments(BaseModel):
    """Which alerts are asked for; none of both: all that fire.

    Attributes:
        labels: that an alert must have, with exactly these values.
        matchers: further conditions, such as `instance=~"web-.*"`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: Labels = Field(default_factory=dict)
    matchers: tuple[Annotated[str, StringConstraints(max_length=700)], ...] = Field(
        default=(), max_length=20
    )

    @field_validator("matchers")
    @classmethod
    def _readable(cls, matchers: tuple[str, ...]) -> tuple[str, ...]:
        for matcher in matchers:
            parse_matcher(matcher)
        return matchers

    @property
    def all(self) -> list[Matcher]:
        """Labels and matchers as Alertmanager takes them."""
        return matchers_of(self.labels) + [parse_matcher(matcher) for matcher in self.matchers]


class SilenceArguments(AlertsArguments):
    """Which alerts are muted, for how long, and why.

    Attributes:
        labels: at least one, so that a silence is always about something named.
    """

    labels: Labels = Field(min_length=1)
    duration: Duration = Field(ge=timedelta(minutes=1), le=timedelta(days=31))
    comment: str = Field(min_length=1, max_length=500)


class ExpireArguments(BaseModel):
    """Which silence ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    silence_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")]


class ListAlerts(Action[AlertsArguments]):
    """Say which alerts fire. NATURAL: it changes nothing.

    Values: `count`, and `alerts` with `labels` and `silenced` of each.
    """

    name: ClassVar[str] = "alertmanager.alerts"
    summary: ClassVar[str] = "See which alerts fire"
    risk: ClassVar[Risk] = Risk.READ
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = AlertsArguments

    def __init__(self, api: AlertmanagerApi) -> None:
        self._api = api

    def describe(self, arguments: AlertsArguments) -> str:
        """See `Action.describe`."""
        return f"See which alerts fire: {shown(arguments.all) or 'all'}"

    async def execute(self, arguments: AlertsArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`."""
        alerts = await self._api.alerts(arguments.all, silenced=True)
        kept: list[JsonValue] = [
            {
                "labels": {clip(k, 100): clip(v, 300) for k, v in sorted(a.labels.items())[:64]},
                "silenced": bool(a.status.silenced_by),
            }
            for a in alerts[:_KEPT]
        ]
        return ActionResult(
            summary=f"{_counted(len(alerts))} in Alertmanager" if alerts else "No alert fires",
            output=_listed(alerts),
            values={"count": len(alerts), "alerts": kept},
        )


class CreateSilence(Action[SilenceArguments]):
    """Mute alerts until a time. KEYED by a mark in the silence's comment."""

    name: ClassVar[str] = "alertmanager.silence"
    summary: ClassVar[str] = "Mute alerts for a time"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.KEYED
    arguments = SilenceArguments

    def __init__(self, api: AlertmanagerApi, scope: Scope, longest: timedelta, file: str) -> None:
        self._api = api
        self._scope = scope
        self._longest = longest
        self._file = file

    def describe(self, arguments: SilenceArguments) -> str:
        """See `Action.describe`."""
        return f"Mute {shown(arguments.all)} for {spoken(arguments.duration)}"

    async def preview(self, arguments: SilenceArguments) -> str | None:
        """See `Action.preview`. The alerts that it would mute if it began now."""
        self._check(arguments)
        alerts = await self._api.alerts(arguments.all, silenced=False)
        if not alerts:
            return "No alert fires now that it would mute."
        return f"It would mute {_counted(len(alerts))} now:\n{_listed(alerts)}"

    async def execute(self, arguments: SilenceArguments, context: ActionContext) -> ActionResult:
        """See `Action.execute`."""
        self._check(arguments)
        mark = f"[countersign:{context.key}]"
        if context.repeated and (made := await self._find(mark)):
            return self._result(arguments, made.id, made.ends_at, "are muted already")
        start = datetime.now(UTC)
        end = start + arguments.duration
        silence_id = await self._api.create(
            arguments.all,
            start,
            end,
            created_by=f"Countersign for {clip(context.requester, 100)}",
            comment=f"{clip(arguments.comment, 500)} {mark}",
        )
        return self._result(arguments, silence_id, end, "are muted")

    def _check(self, arguments: SilenceArguments) -> None:
        self._scope.check(arguments.all)
        if arguments.duration > self._longest:
            raise ActionError(
                f"{self._file} allows silences of at most {spoken(self._longest)}, not "
                f"{spoken(arguments.duration)}."
            )

    async def _find(self, mark: str) -> Silence | None:
        """The silence that an earlier attempt made, which may have ended since. The mark is looked
        for at the end only, so that a comment cannot pass for it."""
        for silence in await self._api.silences():
            if silence.comment.endswith(mark):
                return silence
        return None

    def _result(
        self, arguments: SilenceArguments, silence_id: str, end: datetime, what: str
    ) -> ActionResult:
        until = end.astimezone(UTC)
        return ActionResult(
            summary=f"Alerts with {shown(arguments.all)} {what} until {until:%Y-%m-%d %H:%M} UTC",
            values={"silence_id": silence_id, "ends_at": until.isoformat()},
            link=self._api.link(silence_id),
        )


class ExpireSilence(Action[ExpireArguments]):
    """End a silence. NATURAL: one that has ended stays so."""

    name: ClassVar[str] = "alertmanager.expire"
    summary: ClassVar[str] = "End a silence, so that its alerts are told again"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = ExpireArguments

    def __init__(self, api: AlertmanagerApi, scope: Scope) -> None:
        self._api = api
        self._scope = scope

    def describe(self, arguments: ExpireArguments) -> str:
        """See `Action.describe`."""
        return f"End the silence {arguments.silence_id}"

    async def preview(self, arguments: ExpireArguments) -> str | None:
        """See `Action.preview`. What the silence mutes, since when, by whom."""
        silence = await self._look(arguments)
        return (
            f"{clip(shown(silence.matchers), 1000)}\n"
            f"{silence.status.state}, until {silence.ends_at:%Y-%m-%d %H:%M} UTC\n"
            f"by {clip(silence.created_by, 200)}: {clip(silence.comment, 500)}"
        )

    async def execute(self, arguments: ExpireArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`."""
        silence = await self._look(arguments)
        over = silence.status.state == "expired"
        if not over:
            await self._api.expire(silence.id)
        said = "had ended already" if over else "has ended"
        return ActionResult(
            summary=f"The silence of {clip(shown(silence.matchers), 500)} {said}",
            values={"silence_id": silence.id},
            link=self._api.link(silence.id),
        )

    async def _look(self, arguments: ExpireArguments) -> Silence:
        silence = await self._api.silence(arguments.silence_id)
        self._scope.check(silence.matchers)
        return silence


def _counted(number: int) -> str:
    return "1 alert fires" if number == 1 else f"{number} alerts fire"


def _listed(alerts: Sequence[ApiAlert]) -> str:
    """A line for each: its labels, and since when."""
    lines = [
        f"{clip(shown(matchers_of(dict(sorted(a.labels.items())))), 300)}"
        f" since {a.starts_at:%Y-%m-%d %H:%M} UTC{', silenced' if a.status.silenced_by else ''}"
        for a in alerts[:_SHOWN]
    ]
    more = len(alerts) - _SHOWN
    return "\n".join([*lines, *([f"… and {more} more"] if more > 0 else [])])
