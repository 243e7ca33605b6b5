"""One attempt at a step's action: filled in, checked against what was signed, timed."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, JsonValue
from sqlalchemy.exc import SQLAlchemyError

from core.errors import CountersignError
from core.records import Idempotency
from core.workflows.actions import (
    Action,
    ActionContext,
    ActionError,
    ActionRegistry,
    ActionResult,
    OutcomeUnknownError,
)
from core.workflows.pictures import KeepPicture
from core.workflows.plan import PlannedRetry, PlannedStep
from core.workflows.run import Run, StepProgress, StepState
from core.workflows.template import render

_OUTPUT_CHARACTERS = 20_000
_SUMMARY_CHARACTERS = 2_000
_VALUES_CHARACTERS = 256 * 1024
_LINK_CHARACTERS = 3_000
CUT_OFF = "It was cut off in the middle; nobody knows whether it took effect."
_log = logging.getLogger(__name__)
Scope = Callable[[], dict[str, JsonValue]]


class _BugError(CountersignError):
    """The action broke down; nobody has said whether it took effect."""


async def attempt(
    registry: ActionRegistry,
    run: Run,
    step: PlannedStep,
    begun: StepProgress,
    scope: Scope,
    keep: KeepPicture,
) -> StepProgress:
    """Call the action.

    Args:
        begun: how the step stands, this attempt included.
        scope: what its expressions refer to; asked only where it has some.
        keep: stores its picture, where it gives one, before the step has ended.

    Returns:
        How it stands afterwards: SUCCEEDED, FAILED, UNKNOWN, or WAITING for its next attempt.
    """
    state, summary, output = StepState.FAILED, "", ""
    values: dict[str, JsonValue] = {}
    link, picture = None, None
    try:
        await registry.catch_up(step.action, step.pin)
        action, typed = _prepare(registry, step, scope)
        context = ActionContext(
            run_id=run.id,
            step_id=step.id,
            key=f"{run.id}/{step.id}",
            repeated=begun.attempts > 1,
            requester=run.requester,
            place=run.place,
        )
        async with asyncio.timeout(step.time_limit_s):
            result = await _outcome(action.execute(typed, context))
        state, summary, output = StepState.SUCCEEDED, result.summary, result.output
        values, link = result.values, result.link
        if (size := len(json.dumps(values))) > _VALUES_CHARACTERS:
            said = f" (Its values are too large to keep: {size} characters.)"
            values, summary = {}, summary[: _SUMMARY_CHARACTERS - len(said)] + said
        if link is not None and len(link) > _LINK_CHARACTERS:
            link = None
        if result.picture is not None:
            picture = await keep(run.id, result.picture)
    except OutcomeUnknownError as error:
        state, summary = StepState.UNKNOWN, str(error)
    except TimeoutError:
        summary = f"It did not finish within {step.time_limit_s:.0f} s and was stopped."
        if step.idempotency is Idempotency.NONE:
            state = StepState.UNKNOWN
    except _BugError as error:
        summary = str(error)
        if step.idempotency is Idempotency.NONE:
            state = StepState.UNKNOWN
    except ActionError as error:
        summary = str(error)
    except CountersignError as error:
        summary = f"It could not be started: {error}"
    after = begun.model_copy(
        update={
            "state": state,
            "finished_at": datetime.now(UTC),
            "summary": summary[:_SUMMARY_CHARACTERS],
            "output": output[:_OUTPUT_CHARACTERS],
            "values": values,
            "link": link,
            "picture": picture,
        }
    )
    return _again(step, after) or after


async def _outcome(execution: Awaitable[ActionResult]) -> ActionResult:
    """What an action did. Gathered, so that a bug in it is a step that failed, after which is
    undone what was done before it, and not the end of the engine's work on the run."""
    (result,) = await asyncio.gather(execution, return_exceptions=True)
    if isinstance(result, ActionResult):
        return result
    ours = isinstance(result, CountersignError | SQLAlchemyError)  # the latter is tried again
    if ours or not isinstance(result, Exception):
        raise result
    _log.error("an action has a bug", exc_info=result)
    raise _BugError(f"The action has a bug: {type(result).__name__}: {result}") from result


def _prepare(
    registry: ActionRegistry, step: PlannedStep, scope: Scope
) -> tuple[Action[BaseModel], BaseModel]:
    """The action with its arguments, the earlier steps' outcomes filled in."""
    arguments = step.arguments
    if step.late:
        known = scope()
        arguments = {key: render(v, known, frozenset()) for key, v in arguments.items()}
    action = registry.get(step.action)
    if step.pin is not None and action.pin != step.pin:
        raise ActionError(
            f"{step.action} is not what was signed any more: its definition has changed since the "
            "plan was made. Look at what it is now, and ask for it anew."
        )
    typed = action.read(arguments)
    if action.risk_of(typed).rank > step.risk.rank:
        raise ActionError(
            f"{step.action} would be {action.risk_of(typed)} with these arguments, "
            f"and {step.risk} was signed."
        )
    return action, typed


def _again(step: PlannedStep, after: StepProgress) -> StepProgress | None:
    """The wait for the next attempt, where there is one: never where the last one may have had
    its effect and must not have it twice."""
    repeatable = after.state is StepState.FAILED or (
        after.state is StepState.UNKNOWN and step.idempotency is not Idempotency.NONE
    )
    if step.retry is None or not repeatable or after.attempts >= step.retry.attempts:
        return None
    due_at = datetime.now(UTC) + timedelta(seconds=_backoff_s(step.retry, after.attempts))
    return after.model_copy(update={"state": StepState.WAITING, "due_at": due_at})


def _backoff_s(retry: PlannedRetry, attempts: int) -> float:
    longest: float = min(retry.longest_s, retry.backoff_s * retry.factor ** (attempts - 1))
    return longest
