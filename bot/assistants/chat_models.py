"""Which of the served models an assistant speaks with, and what they can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from core.services.ai import AIOrchestratorClient, ModelInfo, ModelNotFoundError
from core.state import AIAssistant, AIModel


class Speaker(NamedTuple):
    """A served model: the server's name of it, and whether it calls tools.

    Its record says so, or the server where there is no record. One that does not is taken to be too
    weak for choices and for words of its own.
    """

    name: str
    calls_tools: bool


class ChatModels:
    """Finds the server's name of an assistant's model.

    Args:
        records: the configured models by id, which assistants name.
    """

    def __init__(self, records: Mapping[str, AIModel], orchestrator: AIOrchestratorClient) -> None:
        self._records = records
        self._orchestrator = orchestrator

    async def of(self, assistant: AIAssistant) -> Speaker:
        """The assistant's model, or else the server's first for chat.

        Raises:
            ModelNotFoundError: it is not served; the message says where it is named.
            OrchestratorError: the server cannot say what it has.
        """
        served = await self._served()
        if assistant.model is None:
            return self._speaker(served[0])
        record = self._records.get(assistant.model)
        wanted = record.served_name if record else assistant.model
        for model in served:
            if model.name.casefold() == wanted.casefold():
                return self._speaker(model)
        names = [model.name for model in served]
        raise ModelNotFoundError(
            f"assistants/{assistant.id}.yaml names the model '{assistant.model}', and the model "
            f"server has only: {', '.join(names)}."
        )

    async def default(self) -> Speaker:
        """The server's first chat model.

        Raises:
            OrchestratorError: the server cannot say what it has, or has no chat model.
        """
        return self._speaker((await self._served())[0])

    def _speaker(self, model: ModelInfo) -> Speaker:
        records = [r for r in self._records.values() if _matches(r, model.name)]
        if records:  # a server says what it can do with any model; the record, how well
            return Speaker(model.name, any("tools" in r.capabilities for r in records))
        return Speaker(model.name, "tools" in model.capabilities)

    async def _served(self) -> list[ModelInfo]:
        served = [m for m in await self._orchestrator.models() if "chat" in m.capabilities]
        if not served:
            raise ModelNotFoundError("The model server has no chat model.")
        return served


def _matches(record: AIModel, name: str) -> bool:
    return record.served_name.casefold() == name.casefold()
