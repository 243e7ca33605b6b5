"""Names that Slack sends back to us; builders, listeners and the manifest share them."""

from __future__ import annotations

APPROVE = "run.approve"
APPROVE_BY_PHRASE = "run.approve_by_phrase"
DENY = "run.deny"
CANCEL = "run.cancel"
RESOLVE_DONE = "run.resolve.done"
RESOLVE_REPEAT = "run.resolve.repeat"
RESOLVE_STOP = "run.resolve.stop"
STEP_DONE = "run.step.done"
STEP_NOT_DONE = "run.step.not_done"
RETRY = "run.retry"
RERUN = "run.again"
DETAILS = "run.details"
OPEN_RUN = "run.open"
MENU = "run.menu"
RUNS_NEWEST = "runs.newest"
RUNS_OLDER = "runs.older"
OPEN_OFFER = "form.offer"
OPEN_WORKFLOW = "form.workflow"
HOME_REFRESH = "home.refresh"
SCHEDULE_ADD = "schedule.add"
SCHEDULE_PAUSE = "schedule.pause"
SCHEDULE_RESUME = "schedule.resume"
SCHEDULE_RUN = "schedule.run"
SCHEDULE_REMOVE = "schedule.remove"
DELIVERY_REPLAY = "webhook.replay"

RUN_FORM = "form.run"
PHRASE_FORM = "form.phrase"
GLASS_FORM = "form.glass"

MENU_DETAILS = "details:"
MENU_GLASS = "glass:"
"""Beginnings of the values in a card's menu; the run's id follows."""

SCHEDULE_ACTIONS = frozenset(
    {SCHEDULE_ADD, SCHEDULE_PAUSE, SCHEDULE_RESUME, SCHEDULE_RUN, SCHEDULE_REMOVE}
)

PERSISTED_ACTIONS = SCHEDULE_ACTIONS | frozenset(
    {
        APPROVE,
        DENY,
        CANCEL,
        RESOLVE_DONE,
        RESOLVE_REPEAT,
        RESOLVE_STOP,
        STEP_DONE,
        STEP_NOT_DONE,
        RETRY,
        RUNS_NEWEST,
        RUNS_OLDER,
        HOME_REFRESH,
        DELIVERY_REPLAY,
    }
)
"""Presses that are kept and then worked on."""

FORM_ACTIONS = frozenset(
    {APPROVE_BY_PHRASE, OPEN_OFFER, OPEN_WORKFLOW, RERUN, DETAILS, OPEN_RUN, MENU}
)
"""Presses that open a modal at once, because their trigger is good for 3 seconds only."""

EVENTS = ("app_home_opened", "app_mention", "agent_session_stopped", "message")
"""Events that the listeners want."""

METADATA = "countersign_post"
"""`event_type` of the metadata on every message that is posted once by its key."""
