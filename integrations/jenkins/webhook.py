"""Jenkins' builds, told by its Notification plugin or by a pipeline itself; without I/O.

The plugin cannot sign, and cannot send a header of its choice; it sends the user and password of
the address as HTTP Basic (RFC 7617). So the proof is a token: that password, or a bearer token.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from pydantic import JsonValue, SecretStr

from core.records import Event
from integrations.jenkins.payloads import Build, JobState
from integrations.text import clip, shorten, web_address
from integrations.webhooks import (
    ARRIVAL,
    DEFAULT_MAX_BYTES,
    Identity,
    SignatureError,
    Webhook,
    in_utc,
    matches_any,
    read_payload,
    require_bearer,
)

_OUTCOMES = {"SUCCESS": "succeeded", "FAILURE": "failed", "UNSTABLE": "failed"}
_ENDED = frozenset({"COMPLETED", "FINALIZED"})
_MOST_PARAMETERS = 30


class JenkinsWebhook(Webhook):
    """Authenticated by a token, as a bearer token or as the password of HTTP Basic.

    Args:
        tokens: those that are valid; two while one is being replaced.
    """

    max_bytes = DEFAULT_MAX_BYTES

    def __init__(self, webhook_id: str, tokens: tuple[SecretStr, ...]) -> None:
        self.id = webhook_id
        self._tokens = tokens

    def verify(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Identity:  # noqa: ARG002
        """See `Webhook.verify`. The order of one job's notifications is kept.

        Jenkins sends no delivery id: a build has one key for its start and one for its end, which
        the plugin tells twice.
        """
        _require_token(headers, self._tokens)
        state = read_payload(body, JobState)
        return Identity(_key(state), shorten(clip(state.job, 1000), 300))

    def normalise(self, headers: Mapping[str, str], body: bytes) -> list[Event]:  # noqa: ARG002
        """`ci.started`, `ci.succeeded` and `ci.failed` (failed or unstable); nothing for what is
        queued, was aborted or not built."""
        state = read_payload(body, JobState)
        build, outcome = state.build, _outcome(state.build)
        if outcome is None:
            return []
        job = clip(state.job, 200)
        attributes = _attributes(state, job)
        where = f" on {attributes['branch']}" if attributes["branch"] else ""
        return [
            Event(
                id=f"{self.id}:{_key(state)}",
                kind=f"ci.{outcome}",
                source=self.id,
                subject=shorten(clip(state.job, 1000), 300),
                title=clip(f"{job} #{build.number} {outcome}{where}", 500),
                attributes=attributes,
                occurred_at=in_utc(build.timestamp) if build.timestamp else ARRIVAL,
            )
        ]


def _require_token(headers: Mapping[str, str], tokens: tuple[SecretStr, ...]) -> None:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        require_bearer(headers, tokens)
        return
    try:
        pair = base64.b64decode(value.strip(), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise SignatureError("the header authorization is not HTTP Basic") from error
    if not matches_any(pair.partition(":")[2], (token.get_secret_value() for token in tokens)):
        raise SignatureError("the password in the endpoint's URL is wrong")


def _outcome(build: Build) -> str | None:
    if build.phase == "STARTED":
        return "started"
    return _OUTCOMES.get(build.status or "") if build.phase in _ENDED else None


def _key(state: JobState) -> str:
    build = state.build
    phase = "ENDED" if build.phase in _ENDED else build.phase
    identity = [state.job, build.number, build.queue_id, phase]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def _attributes(state: JobState, job: str) -> dict[str, JsonValue]:
    build, scm = state.build, state.build.scm
    branch = clip(scm.branch if scm else "", 250)
    parameters = sorted((build.parameters or {}).items())[:_MOST_PARAMETERS]
    return {
        "repository": _repository(scm.url if scm else ""),
        "branch": branch.removeprefix("refs/heads/").removeprefix("origin/"),
        "sha": clip(scm.commit if scm else "", 64),
        "workflow": job,
        "job": job,
        "run_id": build.number,
        "run_number": build.number,
        "conclusion": clip(build.status, 40),
        "actor": clip(", ".join((scm.culprits if scm else None) or ()), 200),
        "url": web_address(build.full_url),
        **{f"parameter_{clip(name, 100)}": clip(value, 300) for name, value in parameters},
    }


def _repository(url: str | None) -> str:
    """`acme/shop` of `https://git.acme.example/acme/shop.git` or `git@…:acme/shop.git`."""
    address = clip(url, 500)
    try:
        path = urlsplit(address).path if "://" in address else address.rpartition(":")[2]
    except ValueError:
        return ""
    return clip(path.strip("/").removesuffix(".git"), 200)
