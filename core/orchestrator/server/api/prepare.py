"""From a chat request's body to what the engine takes: a job."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.orchestrator.server.api.replies import ApiError
from core.orchestrator.server.api.tools import conversation, grammar, speaks_hermes
from core.orchestrator.server.api.wire import ChatBody
from core.orchestrator.server.engine.choice import ChoiceJob
from core.orchestrator.server.engine.jobs import ChatJob, Event
from core.orchestrator.server.engine.sampling import Sampler
from core.orchestrator.server.models.chat_model import ChatModel, PromptError
from core.orchestrator.server.models.constraint import Constraint, GrammarError
from core.orchestrator.server.registry.models import ServedChat


def prepare(
    served: ServedChat, body: ChatBody, emit: Callable[[Event], None], until: float
) -> ChatJob | ChoiceJob:
    """Tokenise, compile the constraint, make the job; blocking.

    Args:
        emit: takes the job's events.
        until: its deadline.

    Raises:
        ApiError: the messages, the constraint or the labels do not fit the model.
    """
    model = served.model
    prompt = _prompt(model, body)
    sampler = Sampler(body.temperature, body.top_p, body.seed)
    wanted = body.structured_outputs
    if wanted is not None and wanted.choice is not None:
        return ChoiceJob(
            emit,
            until,
            model=model,
            batch=served.batch,
            prompt=prompt,
            labels=_labels(model, prompt, wanted.choice),
            sampler=sampler,
            repeatable=body.seed is not None,
            priority=body.priority,
        )
    try:
        constraint = _constraint(model, body)
    except GrammarError as error:
        message = f"The constraint cannot be compiled: {error}"
        raise ApiError(400, "invalid_grammar", message) from error
    return ChatJob(
        emit,
        until,
        model=model,
        batch=served.batch,
        prompt=prompt,
        sampler=sampler,
        max_tokens=body.limit or model.context_length,
        stops=body.stops,
        constraint=constraint,
        repeatable=body.seed is not None,
        priority=body.priority,
    )


def _prompt(model: ChatModel, body: ChatBody) -> list[int]:
    try:
        prompt = model.encode(*conversation(body, by_template=speaks_hermes(model.template)))
    except PromptError as error:
        raise ApiError(400, "invalid_prompt", f"The messages do not fit: {error}") from error
    if len(prompt) >= model.context_length:
        raise ApiError(
            400,
            "context_length_exceeded",
            f"The prompt has {len(prompt)} tokens; {model.name} holds {model.context_length}, "
            "and the reply needs some of them. Shorten the prompt.",
        )
    return prompt


def _labels(
    model: ChatModel, prompt: Sequence[int], choices: Sequence[str]
) -> dict[str, list[int]]:
    """The labels with the tokens of each after the prompt."""
    try:
        labels = {label: model.continuation(prompt, label) for label in choices}
    except PromptError as error:
        raise ApiError(400, "invalid_choice", f"The choice cannot be scored: {error}") from error
    longest = max(len(tokens) for tokens in labels.values())
    if len(prompt) + longest > model.context_length:
        raise ApiError(
            400,
            "context_length_exceeded",
            f"The prompt has {len(prompt)} tokens and a label {longest}; {model.name} holds "
            f"{model.context_length}. Shorten the prompt or the label.",
        )
    return labels


def _constraint(model: ChatModel, body: ChatBody) -> Constraint | None:
    if (calls := grammar(body)) is not None:
        return model.grammars.lark(calls)
    wanted = body.structured_outputs
    if wanted is not None:
        if wanted.regex is not None:
            return model.grammars.regex(wanted.regex)
        return model.grammars.json_schema(wanted.json_ or {"type": "object"})
    shape = body.response_format
    if shape is None or shape.type == "text":
        return None
    schema = shape.json_schema.schema_ if shape.json_schema else {"type": "object"}
    return model.grammars.json_schema(schema)
