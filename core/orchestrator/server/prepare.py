"""From a chat request's body to what the engine takes: prompt tokens and a constraint."""

from __future__ import annotations

from core.orchestrator.server.chat_model import ChatModel, PromptError
from core.orchestrator.server.constraint import Constraint, GrammarError
from core.orchestrator.server.replies import ApiError
from core.orchestrator.server.tools import conversation, grammar, speaks_hermes
from core.orchestrator.server.wire import ChatBody


def prepare(model: ChatModel, body: ChatBody) -> tuple[list[int], Constraint | None]:
    """Tokenise the prompt and compile the constraint; blocking.

    Raises:
        ApiError: the messages or the constraint do not fit the model.
    """
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
    try:
        return prompt, _constraint(model, body)
    except GrammarError as error:
        message = f"The constraint cannot be compiled: {error}"
        raise ApiError(400, "invalid_grammar", message) from error


def _constraint(model: ChatModel, body: ChatBody) -> Constraint | None:
    if (calls := grammar(body)) is not None:
        return model.grammars.lark(calls)
    wanted = body.structured_outputs
    if wanted is not None:
        if wanted.choice is not None:
            return model.grammars.choice(wanted.choice)
        if wanted.regex is not None:
            return model.grammars.regex(wanted.regex)
        return model.grammars.json_schema(wanted.json_ or {"type": "object"})
    shape = body.response_format
    if shape is None or shape.type == "text":
        return None
    schema = shape.json_schema.schema_ if shape.json_schema else {"type": "object"}
    return model.grammars.json_schema(schema)
