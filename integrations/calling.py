"""Calls of another system's HTTP API, the same for all that we call: one origin, one credential,
time limits, answers limited in size, retries where repeating is harmless, and a circuit breaker.

Retries are tenacity's (exponential, full jitter), the breaker is purgatory's; both are small and
know nothing of HTTP. What may be repeated, and what an answer means, is decided here.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from ssl import SSLContext
from typing import TypeVar

import aiohttp
from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.messages.base import Event
from purgatory.domain.messages.events import ContextChanged
from purgatory.domain.model import OpenedState
from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import from_json
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)
from yarl import URL

from core.workflows.actions import ActionError, OutcomeUnknownError
from integrations.base import Health
from integrations.text import clip, tidy

P = TypeVar("P", bound=BaseModel)

MAX_ANSWER_BYTES = 16 * 1024 * 1024
IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})  # RFC 9110, section 9.2.2
_ATTEMPTS = 3
_PAUSE = wait_random_exponential(multiplier=0.3, max=5)
_LONGEST_WAIT_S = 20.0
"""A system that asks for a longer pause (Retry-After) is not asked again by itself."""
_LONGEST_ASKED_S = 86_400.0
_OPEN_AFTER = 5
_OPEN_FOR_S = 30.0
_PASSING = frozenset({408, 425, 429})
_LASTING = frozenset({501, 505})  # it cannot do that, now or later
_REFUSED_UNDONE = frozenset({408, 425, 429})
"""Said before anything was done, so even a call that must not be made twice was not made. So is
503 where it says when to come again; without that, a proxy may say it of a call that it passed on.
"""

_log = logging.getLogger(__name__)


class RefusedError(ActionError):
    """The system answered that it will not; `status` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class UnavailableError(ActionError):
    """The system could not be reached, or has a fault of its own, and nothing was done."""


class _PassingError(Exception):
    """What may be gone in a moment; `undone` where the call certainly had no effect, `busy` where
    the system is up and limits us."""

    def __init__(
        self, message: str, *, undone: bool, wait_s: float = 0.0, busy: bool = False
    ) -> None:
        super().__init__(message)
        self.undone = undone
        self.wait_s = wait_s
        self.busy = busy


class _TooLargeError(ActionError):
    """The answer is larger than we read; whatever was asked has been done."""


@dataclass(frozen=True)
class Answer:
    """What the system answered, with a status that means success.

    Attributes:
        changed: it may have done something that must not be done twice, so an answer that cannot
            be read leaves the outcome open.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    system: str
    changed: bool = False

    def json(self) -> JsonValue:
        """The body as JSON; None where it is empty.

        Raises:
            ActionError: it is not; `OutcomeUnknownError` where the call has changed something.
        """
        if not self.body:
            return None
        try:
            value: JsonValue = from_json(self.body, allow_inf_nan=False)
        except ValueError as error:
            raise self._unreadable(f"is not JSON: {error}") from error
        return value

    def read(self, payload: type[P]) -> P:
        """The body as a typed payload.

        Raises:
            ActionError: it does not fit; the message names each field. `OutcomeUnknownError` where
                the call has changed something.
        """
        try:
            return payload.model_validate(self.json())
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(str(part) for part in e['loc']) or 'the answer'}: {e['msg']}"
                for e in error.errors(include_url=False, include_input=False)[:5]
            )
            raise self._unreadable(f"is not what its API documents: {problems}") from error

    def _unreadable(self, problem: str) -> Exception:
        raised = OutcomeUnknownError if self.changed else ActionError
        return raised(f"{self.system}'s answer {problem}.")

    def text(self) -> str:
        """The body as text, with what is not UTF-8 replaced."""
        return self.body.decode("utf-8", "replace")


class SystemClient:
    """Calls one system. Nothing is followed to another address, so the credential stays there.

    Args:
        integration_id: whose file the messages name.
        name: what people call the system, such as `GitLab`.
        base_url: all paths are below it.
        headers: sent with every call; the credential is among them. None where it is missing:
            every call says so.
        timeout_s: seconds for one attempt.
        tls: False where the server's certificate is not verified, or a context of its own.
    """

    def __init__(
        self,
        integration_id: str,
        name: str,
        base_url: str,
        headers: Mapping[str, str] | None,
        timeout_s: float = 20.0,
        tls: aiohttp.Fingerprint | SSLContext | bool | None = None,
    ) -> None:
        self.name = name
        self.base_url = base_url.rstrip("/")
        self._file = f"integrations/{integration_id}.yaml"
        self._headers = headers
        self._timeout_s = timeout_s
        self._tls = True if tls is None else tls
        self._session: aiohttp.ClientSession | None = None
        self._breakers = AsyncCircuitBreakerFactory(_OPEN_AFTER, _OPEN_FOR_S)
        self._breakers.add_listener(_log_change)
        self._last_failure = ""

    async def start(self) -> None:
        """Open the connection pool."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, connect=10),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        # By itself aiohttp sends a PUT or DELETE again when the connection breaks, whatever we know
        # of the call; it has no public switch for that.
        self._session._retry_connection = False

    async def close(self) -> None:
        """Close the connection pool."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """See `call`."""
        return await self.call("GET", path, params=params, headers=headers)

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        data: JsonValue = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        idempotent: bool | None = None,
        max_bytes: int | None = None,
    ) -> Answer:
        """Call the system; any 2xx is success.

        Args:
            path: begins with `/`; its parts are percent-encoded already (`quoted`).
            data: sent as JSON.
            form: sent as application/x-www-form-urlencoded.
            idempotent: whether calling twice has the effect of once, so that it may be repeated;
                by default what RFC 9110 says of the method.
            max_bytes: of the answer; a longer one is an error. By default MAX_ANSWER_BYTES.

        Raises:
            RefusedError: it answered with an error, and will again.
            UnavailableError: it could not be reached, or not in time, or has a fault, or has had
                so many that it is left alone for half a minute; nothing was done.
            OutcomeUnknownError: the same, after something was sent that may have been done; or its
                answer is too large.
            ActionError: there is no credential, or the answer of a repeatable call is too large.
        """
        repeatable = method in IDEMPOTENT_METHODS if idempotent is None else idempotent
        limit = MAX_ANSWER_BYTES if max_bytes is None else max_bytes
        breaker = await self._breakers.get_breaker(
            self.name, exclude=[ActionError, (_PassingError, _is_busy)]
        )
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_PassingError),
            stop=_stop if repeatable else stop_after_attempt(1),
            wait=_wait,
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    async with breaker:
                        with self._remembering():
                            answer = await self._once(
                                method, path, params, data, form, headers, limit
                            )
                        return replace(answer, changed=not repeatable)
        except OpenedState as error:
            raise UnavailableError(
                f"{self._last_failure} {self.name} has failed {_OPEN_AFTER} times in a row and is "
                "left alone for "
                f"{max(1, round(error.opened_at + _OPEN_FOR_S - time.time()))} s more."
            ) from error
        except _PassingError as error:
            safe = error.undone or repeatable
            raise (UnavailableError if safe else OutcomeUnknownError)(str(error)) from error
        except _TooLargeError as error:
            if repeatable:
                raise
            raise OutcomeUnknownError(str(error)) from error
        raise AssertionError("tenacity ends with a result or an error")

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        """Keep what went wrong, for those who are told that the system is left alone."""
        try:
            yield
        except _PassingError as error:
            if not error.busy:
                self._last_failure = str(error)
            raise
        except asyncio.CancelledError:
            self._last_failure = f"{self.name} did not answer as long as somebody waited."
            raise

    async def health(self, path: str, what: str) -> Health:
        """Ask `path`, which should cost the system nothing; never raises for what is wrong.

        Args:
            what: said where it answers, such as "answers as api.github.com".
        """
        if self._headers is None:
            return Health(
                ready=True, detail="takes webhooks; without a credential it calls nothing"
            )
        try:
            await self.get(path)
        except (ActionError, OutcomeUnknownError) as error:
            return Health(ready=False, detail=str(error))
        return Health(ready=True, detail=what)

    async def _once(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        data: JsonValue,
        form: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        max_bytes: int,
    ) -> Answer:
        if self._headers is None:
            raise ActionError(
                f"{self.name} cannot be called without a credential: add `token: NAME` under "
                f"secrets in {self._file} and set the variable NAME."
            )
        if self._session is None:
            raise ActionError(f"The integration {self._file} is not started, or closed already.")
        sent = {"Accept": "application/json", **self._headers, **(headers or {})}
        body = None if data is None else json.dumps(data, ensure_ascii=False).encode()
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        try:
            async with self._session.request(
                method,
                URL(self.base_url + path, encoded=True).update_query(dict(params or {})),
                headers=sent,
                data=body if form is None else dict(form),
                allow_redirects=False,
                ssl=self._tls,
            ) as response:
                content = await self._read(response, max_bytes)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise _PassingError(
                f"{self.name} cannot be reached at {self.base_url}: {_unreached(error)}.",
                undone=True,
            ) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = clip(str(error), 200) or f"no answer in {self._timeout_s:g} s"
            raise _PassingError(
                f"The connection to {self.name} broke: {reason}.", undone=False
            ) from error
        if 200 <= response.status < 300:
            return Answer(response.status, response.headers, content, self.name)
        raise self._problem(response, content)

    async def _read(self, response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
        content = bytearray()
        async for chunk in response.content.iter_any():
            content += chunk
            if len(content) > max_bytes:
                response.close()
                raise _TooLargeError(f"{self.name}'s answer is larger than {max_bytes} bytes.")
        return bytes(content)

    def _problem(self, response: aiohttp.ClientResponse, content: bytes) -> Exception:
        status, said = response.status, _said(content)
        if status in _PASSING or (status >= 500 and status not in _LASTING):
            wait_s = _seconds(response.headers.get("Retry-After"))
            wait = f" It asks to wait {wait_s:.0f} s." if wait_s else ""
            return _PassingError(
                f"{self.name} answers {status} {_phrase(status)}{said}.{wait}",
                undone=status in _REFUSED_UNDONE
                or (status == HTTPStatus.SERVICE_UNAVAILABLE and wait_s > 0),
                wait_s=wait_s,
                busy=wait_s > 0 or status == HTTPStatus.TOO_MANY_REQUESTS,
            )
        if status == HTTPStatus.UNAUTHORIZED:
            message = f"{self.name} does not take the credential that {self._file} names: renew it."
        elif status == HTTPStatus.FORBIDDEN:
            message = f"{self.name} forbids it{said}. Give the credential that permission."
        elif status == HTTPStatus.NOT_FOUND:
            message = f"{self.name} finds no such thing, or the credential may not see it{said}."
        elif 300 <= status < 400:
            to = clip(response.headers.get("Location", ""), 200)
            message = (
                f"{self.name} answers with a redirect to {to}, which is not followed: correct the "
                f"address in {self._file}."
            )
        else:
            message = f"{self.name} refuses: {status} {_phrase(status)}{said}."
        return RefusedError(message, status)


def _log_change(system: str, _kind: str, event: Event) -> None:
    """Told by the breaker; the log says when a system is left alone, and when it is well again."""
    if not isinstance(event, ContextChanged):
        return
    if event.state == "opened":
        _log.warning("%s fails again and again and is left alone for a while", system)
    elif event.state == "closed":
        _log.info("%s answers again", system)


def _stop(state: RetryCallState) -> bool:
    """No more attempts, or the system wants to be left alone for longer than people wait."""
    asked = _wait_asked(state)
    return state.attempt_number >= _ATTEMPTS or asked > _LONGEST_WAIT_S


def _wait(state: RetryCallState) -> float:
    return max(_PAUSE(state), _wait_asked(state))


def _wait_asked(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return error.wait_s if isinstance(error, _PassingError) else 0.0


def _is_busy(error: BaseException) -> bool:
    """Busy is not broken: a system that limits us is up."""
    return isinstance(error, _PassingError) and error.busy


def _unreached(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted ({error.certificate_error})"
    if isinstance(error, aiohttp.ClientConnectorError):
        return str(error.os_error)
    return str(error)


def _said(content: bytes) -> str:
    """What an error's body says, short; of a JSON object its `message`, where it has one."""
    text = content[:4000].decode("utf-8", "replace")
    try:
        value = from_json(content[:64_000])
    except ValueError:
        value = None
    if isinstance(value, dict) and isinstance(message := value.get("message"), str):
        text = message
    text = clip(tidy(text, 600).replace("\n", " "), 300)
    return f" ({text})" if text else ""


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "error"


def _seconds(value: str | None) -> float:
    """Retry-After in seconds, whether it is a number or a date (RFC 9110, section 10.2.3)."""
    if value is None:
        return 0.0
    if value.isascii() and value.isdigit():
        return min(float(value), _LONGEST_ASKED_S)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    left = moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)
    return min(max(left.total_seconds(), 0.0), _LONGEST_ASKED_S)
