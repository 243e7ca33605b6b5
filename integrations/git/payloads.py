"""What the hook `docs/integrations/post_receive.py` posts."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from integrations.webhooks import Payload


class Commit(Payload):
    """One of a push's newest commits."""

    id: str = Field(max_length=64)
    author: str = ""
    title: str = ""


class Push(Payload):
    """One ref that moved. `before` is all zeros where it is new, `after` where it is gone."""

    repository: str = Field(min_length=1, max_length=200)
    ref: str = Field(min_length=1, max_length=500)
    before: str = Field(pattern=r"^[0-9a-f]{40,64}$")
    after: str = Field(pattern=r"^[0-9a-f]{40,64}$")
    actor: str = ""
    forced: bool = False
    commits: tuple[Commit, ...] = Field(default=(), max_length=100)


class PushMessage(Payload):
    """A Standard Webhooks message (https://www.standardwebhooks.com) about a push."""

    type: Literal["push"]
    timestamp: datetime
    data: Push
