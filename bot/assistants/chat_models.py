"""Which of the served models an assistant speaks with."""

from __future__ import annotations

from collections.abc import Mapping

from core.services.ai import AIOrchestratorClient, ModelNotFoundError
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
        served = [m.name for m in await self._orchestrator.models() if "chat" in m.capabilities]
        if not served:
            raise ModelNotFoundError("The model server has no chat model.")
        if assistant.model is None:
            return served[0]
        record = self._records.get(assistant.model)
        source = record.source if record else None
        wanted = source.name if source and source.type == "server" else assistant.model
        for name in served:
            if name.casefold() == wanted.casefold():
                return name
        raise ModelNotFoundError(
            f"assistants/{assistant.id}.yaml names the model '{assistant.model}', and the model "
            f"server has only: {', '.join(served)}."
        )
