"""What the command can do: one entry for each verb, with examples."""

from __future__ import annotations

from dataclasses import dataclass

from slackblocks import Block, RichTextElement

from bot.blocks.layout import Content, bold, bullets, code, cut, dicts, paragraph, rich, text
from bot.slack.escaping import escape_mrkdwn


@dataclass(frozen=True)
class Verb:
    """A verb of the command.

    Attributes:
        usage: what follows the command's name.
        details: what a person should know before using it.
    """

    name: str
    usage: str
    summary: str
    details: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()


VERBS = (
    Verb("help", "help [VERB]", "Show this, or more about one verb.", (), ("help run",)),
    Verb(
        "ask",
        "ask QUESTION",
        "Ask the assistants; the answer comes in a thread, with the runbook passages.",
        ("Begin with an assistant's id and a colon to choose who answers.",),
        (
            "ask why do pods restart in a loop?",
            "ask incident: the disk of db-1 is filling up",
            "ask all: what should we check before tonight?",
        ),
    ),
    Verb(
        "run",
        "run WORKFLOW NAME=VALUE …",
        "Ask for a run. Its card in the channel shows the plan and who may countersign it.",
        (
            "Values with spaces stand in double quotes.",
            "Without values you get a form to fill in.",
        ),
        (
            "run revert-commit commit=4f2a1c9",
            'run revert-commit commit=4f2a1c9 reason="breaks the checkout"',
        ),
    ),
    Verb(
        "tool",
        "tool [SERVER | NAME KEY=VALUE …]",
        "List the tools of MCP servers, or ask for a run of one by itself.",
        (
            "The list says each tool's risk, and whether somebody has approved it.",
            "Its card shows the plan and who may countersign it, as of any run.",
            "A list is written a,b,c, and what has more parts as JSON in single quotes.",
            "What you type is taken as it stands; it cannot hold ${.",
        ),
        (
            "tool",
            "tool clouds",
            "tool clouds.stop_instance instance=staging-7",
            """tool clouds.tag instance=staging-7 labels='{"team": "shop"}'""",
        ),
    ),
    Verb(
        "runs",
        "runs [RUN | FILTER …]",
        "List the runs that you may see, or show one.",
        (
            "Filters: mine, state=STATE, workflow=ID, target=NAME, since=7d; several narrow it.",
            "A state is open, ended, or one that a card shows, such as awaiting or failed.",
        ),
        ("runs", "runs mine state=open", "runs state=failed since=7d", "runs 1f3c"),
    ),
    Verb(
        "approve",
        "approve RUN [PHRASE]",
        "Countersign a run that waits.",
        (
            "You sign exactly the plan on its card; the first characters of its id are enough.",
            "Where the rule asks for it, type the workflow's id as the phrase.",
            "You cannot countersign a run that you asked for, unless its rule allows that.",
        ),
        ("approve 1f3c9a", "approve 1f3c9a revert-commit"),
    ),
    Verb(
        "deny",
        "deny RUN REASON",
        "Deny a run that waits; that ends it.",
        (),
        ("deny 1f3c9a not during the sale",),
    ),
    Verb(
        "cancel",
        "cancel RUN",
        "Stop a run before its next step; what was done stays done.",
        ("Your own, or any if your role administers runs.",),
        ("cancel 1f3c9a",),
    ),
    Verb(
        "retry",
        "retry RUN",
        "Let a failed run go on at the step that failed.",
        (
            "The same signed plan goes on; what was done is not done again.",
            "Its guardrails must be met now, and nothing may have been taken back.",
        ),
        ("retry 1f3c9a",),
    ),
    Verb(
        "confirm",
        "confirm RUN [STEP] [yes|no] [COMMENT]",
        "Say that you have done a manual step, or that it was not done.",
        ("With no, the step counts as failed. STEP is needed where several wait.",),
        ("confirm 1f3c9a", "confirm 1f3c9a no the dashboard shows errors"),
    ),
    Verb(
        "break-glass",
        "break-glass RUN REASON",
        "Let a run pass against its guardrails, in an emergency.",
        (
            "It is announced, stays in the audit log, and somebody else must review it.",
            "A denial, an altered plan, a lock and a gate do not give way.",
        ),
        ("break-glass 1f3c9a the shop is down and nobody on call answers",),
    ),
    Verb(
        "away",
        "away [@NAME for TIME | @NAME until DATE | back]",
        "Let somebody stand in for you while you are away.",
        (
            "They sign on your behalf, with the roles that policy.yaml lets people lend.",
            "It ends by itself. Days are yours: until 2026-12-01 is to the end of that day.",
        ),
        ("away", "away @bob for 3d", "away @bob from 2026-12-01 until 2026-12-05", "away back"),
    ),
    Verb(
        "reviews",
        "reviews [RUN FINDING]",
        "List where the glass was broken and nobody has looked yet, or close a review.",
        ("Not for who broke it, nor for who had asked for the run.",),
        ("reviews", "reviews 1f3c9a the freeze was over for this service"),
    ),
    Verb(
        "policy",
        "policy WORKFLOW [@NAME]",
        "Say what you may do with a workflow in this channel, and why.",
        (),
        ("policy revert-commit", "policy revert-commit @bob"),
    ),
    Verb("workflows", "workflows [WORKFLOW]", "List the workflows, or the inputs of one."),
    Verb("assistants", "assistants", "List the assistants and what each is for."),
    Verb(
        "schedules",
        "schedules [list|add|pause|resume|run|remove] …",
        "List what the clock starts and when next, or change it.",
        (
            (
                "add ID TIME run WORKFLOW NAME=VALUE …, or add ID TIME ask ASSISTANT QUESTION. "
                "You see the next five times before anything is added."
            ),
            "TIME is five fields (minute hour day month weekday), or at DATE HOUR:MINUTE for once.",
            (
                "After TIME: tz=Europe/Paris (yours if left out), channel=#deploys (this one), "
                'jitter=5m, misfire=skip|once|all, grace=1h, limit=5, name="Two words".'
            ),
            "What you add runs as you: with your rights, and others countersign.",
        ),
        (
            "schedules",
            "schedules add nightly-prune 0 6 * * mon run prune-worktree repository=shop",
            "schedules add standup 0 9 * * mon-fri ask governance What waits for a decision?",
            (
                "schedules add once-more at 2026-12-01 22:00 tz=Europe/Paris "
                "run prune-worktree repository=shop"
            ),
            "schedules list nightly-prune",
            "schedules pause nightly-prune",
            "schedules run nightly-prune",
        ),
    ),
    Verb(
        "webhooks",
        "webhooks [list | show KEY | replay KEY]",
        "Say how deliveries stand, show one that has failed, or have it processed again.",
        (
            "For those who administer every workflow. What looks like a secret is hidden.",
            "Where several integrations have a KEY, write the integration before it.",
        ),
        (
            "webhooks",
            "webhooks show 72d3162e-cc78-11e3-81ab-4c9367dc0958",
            "webhooks replay github 72d3162e-cc78-11e3-81ab-4c9367dc0958",
        ),
    ),
    Verb("models", "models", "List the models and which can run now."),
    Verb("status", "status", "Say whether everything works."),
)

BY_NAME = {verb.name: verb for verb in VERBS}


def overview(command: str, unknown: str = "") -> Content:
    """All verbs.

    Args:
        unknown: what was typed instead of a verb.
    """
    blocks: list[Block] = []
    if unknown:
        blocks.append(rich(paragraph([text("There is no verb "), code(unknown), text(".")])))
    lines: list[list[RichTextElement]] = [
        [code(f"{command} {verb.usage}"), text(f" {verb.summary}")] for verb in VERBS
    ]
    blocks.append(rich(paragraph([bold(f"What {command} can do")]), bullets(*lines)))
    blocks.append(rich(paragraph([text("More about one: "), code(f"{command} help run")])))
    spoken = " ".join(f"{command} {verb.usage}: {verb.summary}" for verb in VERBS)
    prefix = f"There is no verb {unknown}. " if unknown else ""
    return Content(text=escape_mrkdwn(cut(prefix + spoken, 2_900)), blocks=dicts(blocks))


def about(verb: Verb, command: str) -> Content:
    """One verb, with examples."""
    lines: list[list[RichTextElement]] = [
        [code(f"{command} {verb.usage}")],
        [text(verb.summary)],
        *([text(detail)] for detail in verb.details),
    ]
    blocks: list[Block] = [rich(paragraph(*lines))]
    if verb.examples:
        examples: list[list[RichTextElement]] = [[code(f"{command} {e}")] for e in verb.examples]
        blocks.append(rich(paragraph([bold("For example")]), bullets(*examples)))
    spoken = [f"{command} {verb.usage}: {verb.summary}", *verb.details]
    spoken += [f"For example: {command} {example}" for example in verb.examples]
    return Content(text=escape_mrkdwn(" ".join(spoken)), blocks=dicts(blocks))
