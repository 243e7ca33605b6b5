"""Which of several model servers gets a request. Pure: no clock, no network.

Requests that begin alike should go to one server, which has computed that beginning already.
Rendezvous hashing gives each beginning an order of the servers: when one comes or goes, only the
beginnings that it had move. A server that has much more to do than another loses its turn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from core.errors import ConfigurationError
from core.services.ai import ChatMessage

SLACK = 4
"""So many requests more than the least loaded server has may the preferred one have …"""
SLACK_SHARE = 0.25
"""… and so much more of them, where all have many."""


class Candidate(NamedTuple):
    """A server that could take the request, and how many requests it has."""

    name: str
    load: int


def pick(candidates: Sequence[Candidate], key: str) -> Candidate:
    """The server for a request that begins with `key`; there must be at least one."""
    ranked = sorted(candidates, key=lambda candidate: _weight(candidate.name, key), reverse=True)
    preferred = ranked[0]
    # `ranked` breaks ties: requests that lose their server do not all meet at the next.
    least = min(ranked, key=lambda candidate: candidate.load)
    if preferred.load <= least.load * (1 + SLACK_SHARE) + SLACK:
        return preferred
    return least


def prefix_key(model: str, messages: Sequence[ChatMessage]) -> str:
    """What requests to one model have in common where they begin alike: the first message.

    That is an assistant's system prompt, or where there is none a conversation's first words.
    """
    return f"{model}\n{messages[0].role}\n{messages[0].content}"


def addresses(urls: str) -> list[str]:
    """The addresses in `COUNTERSIGN_ORCHESTRATOR_URL`, each once.

    Raises:
        ConfigurationError: there is none, or one does not begin with http:// or https://.
    """
    found = list(
        dict.fromkeys(part.strip().rstrip("/") for part in urls.split(",") if part.strip())
    )
    if not found or not all(url.startswith(("http://", "https://")) for url in found):
        raise ConfigurationError(
            "COUNTERSIGN_ORCHESTRATOR_URL: give one or more addresses of OpenAI-compatible "
            "servers, separated by commas, such as http://gpu-1:8000/v1,http://gpu-2:8000/v1."
        )
    return found


def _weight(name: str, key: str) -> bytes:
    return hashlib.blake2b(
        f"{name}\0{key}".encode("utf-8", "surrogatepass"), digest_size=8
    ).digest()
