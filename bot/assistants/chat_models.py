"""Which of the served models an assistant speaks with, and what they can."""

from __future__ import annotations

from collections.abc import Mapping

from core.services.ai import AIOrchestratorClient, ModelInfo, ModelNotFoundError
from core.state import AIAssistant, AIModel


class ChatModels:
    """Finds the server's name of an assistant's model.

    Args:
        records: the configured models by id, which assistants name.
    """

    def __init__(self, records: Mapping[str, AIModel], orchestrator: AIOrchestratorClient) -> None:
        self._records = records
        self._orchestrator = orchestrator

    async def name(self, assistant: AIAssistant) -> str:
        """The name under which the server has the assistant's model, or else its first for chat.

        Raises:
            ModelNotFoundError: it is not served; the message says where it is named.
            OrchestratorError: the server cannot say what it has.
        """
        served = await self._served()
        if assistant.model is None:
            return served[0].name
        record = self._records.get(assistant.model)
        wanted = _served_name(record) if record else assistant.model
        names = [model.name for model in served]
        for name in names:
            if name.casefold() == wanted.casefold():
                return name
        raise ModelNotFoundError(
            f"assistants/{assistant.id}.yaml names the model '{assistant.model}', and the model "
            f"server has only: {', '.join(names)}."
        )

    async def default_calls_tools(self) -> bool:
        """Whether the server's first chat model calls tools, as it or its record says.

        Raises:
            OrchestratorError: the server cannot say what it has, or has no chat model.
        """
        model = (await self._served())[0]
        records = (record for record in self._records.values() if _matches(record, model.name))
        recorded = any("tools" in record.capabilities for record in records)
        return recorded or "tools" in model.capabilities

    async def _served(self) -> list[ModelInfo]:
        served = [m for m in await self._orchestrator.models() if "chat" in m.capabilities]
        if not served:
            raise ModelNotFoundError("The model server has no chat model.")
        return served


def _served_name(record: AIModel) -> str:
    return record.source.name if record.source.type == "server" else record.id


def _matches(record: AIModel, name: str) -> bool:
    return _served_name(record).casefold() == name.casefold()
