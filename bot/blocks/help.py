"""What the command can do: one entry for each verb, with examples."""

from __future__ import annotations

from dataclasses import dataclass

from slackblocks import Block, RichTextElement

from bot.blocks.layout import Content, bold, bullets, code, dicts, paragraph, rich, text
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
    Verb("runs", "runs [RUN]", "List the latest runs, or show one.", (), ("runs", "runs 1f3c")),
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
    Verb("workflows", "workflows [WORKFLOW]", "List the workflows, or the inputs of one."),
    Verb("assistants", "assistants", "List the assistants and what each is for."),
    Verb("schedules", "schedules", "List what the clock starts, and when next."),
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
    return Content(text=escape_mrkdwn(prefix + spoken), blocks=dicts(blocks))


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
