"""Lists that a command answers with, and one-sentence answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from slackblocks import ActionsBlock, Block, Button, RichTextElement

from bot import names
from bot.blocks.layout import (
    Content,
    bold,
    bullets,
    code,
    cut,
    dicts,
    paragraph,
    rich,
    text,
)
from bot.blocks.run_parts import written
from bot.slack.escaping import escape_mrkdwn
from core.services.ai import ModelInfo, OrchestratorHealth
from core.state import AIAssistant, AIModel, AIWorkflow
from core.workflows.definition import Parameter

Line = list[RichTextElement]
_MOST = 40
_EXAMPLES = {"string": "…", "integer": "3", "number": "0.5", "boolean": "yes", "list": "…,…"}


def sentence(words: str) -> Content:
    """A short answer in plain text."""
    words = cut(words, 2_900)
    return Content(text=escape_mrkdwn(words), blocks=dicts([rich(paragraph([text(words)]))]))


def workflows(known: Sequence[AIWorkflow], command: str) -> Content:
    """The workflows with how to start each."""
    if not known:
        return sentence("There is no workflow that you may see here (workflows, policy.yaml).")
    lines: list[Line] = [
        [
            bold(workflow.name),
            text(f" {cut(workflow.objective, 200)} "),
            code(usage(workflow, command)),
        ]
        for workflow in known
    ]
    return _listed("Workflows", lines)


def workflow(
    known: AIWorkflow, command: str, problem: str = "", offer: str | None = None
) -> Content:
    """One workflow: its inputs, an example, and a button for the form.

    Args:
        problem: what was wrong with a request for it.
        offer: id of the offer that holds what was given already.
    """
    blocks: list[Block] = []
    if problem:
        blocks.append(rich(paragraph([text(cut(problem, 1_000))])))
    blocks.append(rich(paragraph([bold(known.name), text(f" {known.objective}")])))
    lines: list[Line] = [
        [code(name), text(f" {described(parameter)}")]
        for name, parameter in known.parameters.items()
    ]
    if lines:
        blocks.append(rich(paragraph([bold("Inputs")]), bullets(*lines)))
    example = usage(known, command, filled=True)
    blocks.append(rich(paragraph([bold("For example: "), code(example)])))
    action, value = (names.OPEN_OFFER, offer) if offer else (names.OPEN_WORKFLOW, known.id)
    button = Button("Fill in a form…", action, value=value)
    blocks.append(ActionsBlock([button], block_id=f"workflow:{known.id}"))
    inputs = "; ".join(f"{name}: {described(p)}" for name, p in known.parameters.items())
    spoken = f"{problem} {known.name}: {known.objective} Inputs: {inputs or 'none'}. "
    spoken += f"For example: {example}"
    return Content(text=escape_mrkdwn(cut(spoken.strip(), 2_500)), blocks=dicts(blocks))


def assistants(known: Sequence[AIAssistant], bot: str) -> Content:
    """The assistants and how to speak to each.

    Args:
        bot: how people write the bot's name, such as `@countersign`.
    """
    if not known:
        return sentence("No assistant is configured. Add one in the folder assistants.")
    lines: list[Line] = [
        [bold(a.name), text(f" {a.speciality} "), code(f"{bot} {a.id}: …")] for a in known
    ]
    return _listed("Assistants", lines)


def models(known: Sequence[AIModel], served: Sequence[ModelInfo], problem: str = "") -> Content:
    """The models of the configuration, and which of them can run now.

    Args:
        problem: why it is not known what can run.
    """
    running = {model.name for model in served}
    state = {True: "can run now", False: "not loaded"}
    lines: list[Line] = [
        [
            bold(model.id),
            text(
                f" {model.modality} · {_parameters(model.parameters)} parameters · {model.stage} · "
                f"{model.licence} · {state[model.served_name in running]}"
            ),
        ]
        for model in known
    ]
    lines += [
        [bold(name), text(" served")] for name in sorted(running - {m.served_name for m in known})
    ]
    if problem:
        lines.append([bold("The model server does not answer: "), text(cut(problem, 300))])
    if not lines:
        return sentence(
            "No model is configured. `countersign models pull` fetches the default ones."
        )
    return _listed("Models", lines)


def status(health: OrchestratorHealth, waiting: int, facts: Mapping[str, str]) -> Content:
    """Whether everything works.

    Args:
        waiting: runs that wait for a countersignature.
        facts: more lines, label to value.
    """
    ready = "ready" if health.ready else "not ready"
    lines: list[Line] = [
        [
            bold("Models: "),
            text(
                f"{ready} ({cut(health.detail, 300)}); {health.running} running, "
                f"{health.waiting} waiting, {health.restarts} restarts"
            ),
        ],
        [bold("Runs that wait for a countersignature: "), text(str(waiting))],
        *([bold(f"{label}: "), text(cut(value, 300))] for label, value in facts.items()),
    ]
    return _listed("Status", lines)


def usage(workflow: AIWorkflow, command: str, filled: bool = False) -> str:
    """How to start a workflow by command; `filled` gives example values."""
    parts = [command, "run", workflow.id]
    for name, parameter in workflow.parameters.items():
        if filled:
            parts.append(f"{name}={example_of(parameter)}")
        else:
            parts.append(f"[{name}=…]" if parameter.default is not None else f"{name}=…")
    return " ".join(parts)


def _listed(title: str, lines: list[Line]) -> Content:
    shown = lines[:_MOST]
    if len(lines) > _MOST:
        shown.append([text(f"… and {len(lines) - _MOST} more")])
    blocks = dicts([rich(paragraph([bold(title)]), bullets(*shown))])
    spoken = "; ".join("".join(_words(part) for part in line) for line in shown)
    return Content(text=escape_mrkdwn(cut(f"{title}: {spoken}", 2_500)), blocks=blocks)


def _words(part: RichTextElement) -> str:
    return str(getattr(part, "text", None) or getattr(part, "user_id", ""))


def described(parameter: Parameter) -> str:
    """What an input is, and what it may be."""
    words = f"{parameter.description} ({parameter.type})"
    if parameter.choices:
        words += " one of: " + ", ".join(str(choice) for choice in parameter.choices)
    if parameter.default is not None:
        words += f", {written(parameter.default) or 'empty'} if left out"
    return cut(words, 400)


def example_of(parameter: Parameter) -> str:
    """A value to show how one is typed."""
    if parameter.choices:
        value = str(parameter.choices[0])
    elif parameter.default is not None:
        value = written(parameter.default).replace(", ", ",")
    else:
        value = _EXAMPLES[parameter.type]
    return f'"{value}"' if " " in value else value


def _parameters(count: int) -> str:
    for size, unit in ((1_000_000_000, "billion"), (1_000_000, "million")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def _when(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M %Z")
