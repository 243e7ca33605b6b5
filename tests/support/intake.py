"""The intake as a sender sees it, GitHub's way of signing, and the context of an action."""

import hashlib
import hmac
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

import aiohttp

from core.inbox import Delivery, Inbox
from core.records import Place
from core.store.inbox import SqlInbox
from core.workflows.actions import ActionContext
from integrations.registry import Integrations

GITHUB_SECRET = "It's a Secret to Everybody"
ALERTMANAGER_TOKEN = "alertmanager-token-for-tests"


class Intake:
    """The running service as a sender sees it, and what it has stored."""

    def __init__(
        self, url: str, session: aiohttp.ClientSession, inbox: SqlInbox, integrations: Integrations
    ) -> None:
        self.url = url
        self.port = int(url.rsplit(":", 1)[1])
        self.session = session
        self.inbox = inbox
        self.integrations = integrations

    async def stored(self) -> list[Delivery]:
        """Every delivery that waits to be processed, in the order of arrival; they are finished,
        for the next one of a subject waits for that."""
        found: list[Delivery] = []
        while claimed := await self.inbox.claim(100, ["webhook"]):
            for delivery in claimed:
                await self.inbox.finish(delivery)
            found += claimed
        return sorted(found, key=lambda delivery: delivery.received_at)


def signed(body: bytes, delivery: str | None = None, event: str = "ping") -> dict[str, str]:
    """The headers that GitHub would send with `body`; the digest is computed here, not by us."""
    digest = hmac.new(GITHUB_SECRET.encode(), body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery or str(uuid.uuid4()),
        "X-Hub-Signature-256": f"sha256={digest}",
    }


async def post(
    intake: Intake, body: bytes, headers: Mapping[str, str], to: str = "github"
) -> tuple[int, dict[str, str]]:
    """Send a delivery; return the status and the answer."""
    async with intake.session.post(
        f"{intake.url}/webhooks/{to}", data=body, headers=headers
    ) as response:
        return response.status, await response.json()


Serve = Callable[[Inbox | None], AbstractAsyncContextManager[Intake]]


def attempt(key: str = "run-1/step-1", *, repeated: bool = False) -> ActionContext:
    """The context of one attempt of a step."""
    return ActionContext(
        run_id="run-1",
        step_id="step-1",
        key=key,
        repeated=repeated,
        requester="U1",
        place=Place(channel="C1", thread="1.1"),
    )
