"""LoRA adapters of one running model server, by vLLM's interface.

https://docs.vllm.ai/en/latest/features/lora/#dynamically-serving-lora-adapters
Ours takes the name of the base model besides, since it has several.
"""

from __future__ import annotations

from typing import NamedTuple

import openai
from openai import AsyncOpenAI

from core.orchestrator.client.faults import Faults, server_message
from core.services.ai import OrchestratorError, OrchestratorUnavailableError

_LOAD_S = 120.0
_HINT = (
    " A vLLM server takes adapters while it runs only with --enable-lora and "
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True in its environment, and reads the folder itself."
)


class Adapter(NamedTuple):
    """A LoRA adapter: its name as a model, its folder as the server sees it, and its base."""

    name: str
    path: str
    base_model: str


async def load(client: AsyncOpenAI, server: str, adapter: Adapter, *, ours: bool = False) -> None:
    """Serve an adapter; nothing happens where it is served already from that folder.

    Args:
        server: the server's address, for messages.
        ours: the server is our own.

    Raises:
        OrchestratorError: the server does not take it; the message says what to do.
    """
    body = {"lora_name": adapter.name, "lora_path": adapter.path}
    if ours:
        body["base_model"] = adapter.base_model
    with Faults(server).translated(_LOAD_S):
        if await _folder(client, adapter.name) == adapter.path:
            return
        try:
            await _post(client, "load_lora_adapter", body)
        except openai.APIStatusError as error:
            raise _refusal(server, adapter.name, error, "" if ours else _HINT) from error


async def unload(client: AsyncOpenAI, server: str, name: str) -> None:
    """Serve an adapter no longer; nothing happens where it is not served.

    Raises:
        OrchestratorError: the server does not remove it.
    """
    with Faults(server).translated(_LOAD_S):
        if name not in {item.id for item in (await client.models.list()).data}:
            return
        try:
            await _post(client, "unload_lora_adapter", {"lora_name": name})
        except openai.APIStatusError as error:
            raise _refusal(server, name, error, "") from error


async def _post(client: AsyncOpenAI, what: str, body: dict[str, str]) -> None:
    await client.post(f"/{what}", cast_to=str, body=body, options={"timeout": _LOAD_S})


async def _folder(client: AsyncOpenAI, name: str) -> str | None:
    """The folder of an adapter that is served, where the server tells it."""
    for item in (await client.models.list()).data:
        if item.id == name:
            root = (item.model_extra or {}).get("root")
            return root if isinstance(root, str) else None
    return None


def _refusal(server: str, name: str, error: openai.APIStatusError, hint: str) -> OrchestratorError:
    kind = OrchestratorUnavailableError if error.status_code in (502, 503) else OrchestratorError
    return kind(
        f"The model server {server} does not take the adapter {name!r}: "
        f"{server_message(error).rstrip('.')}.{hint}"
    )
