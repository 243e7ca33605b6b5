"""The GitHub REST API, by gidgethub, with our limits.

gidgethub brings pagination, the API's errors and rate limits, and GitHub App tokens in 1,400
lines (27 ms to import); githubkit's generated models are 56 MB. Its own aiohttp class reads
answers of any size, so the one method that does I/O is ours. What only looks is tried again when
GitHub has a fault (tenacity), and a GitHub that keeps failing is left alone for a while
(purgatory), as `integrations.calling` does for systems that have no library of their own.
https://docs.github.com/en/rest
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, TypeVar

import aiohttp
from gidgethub import (
    GitHubBroken,
    GitHubException,
    HTTPException,
    RateLimitExceeded,
    RedirectionException,
)
from gidgethub.abc import GitHubAPI
from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState
from pydantic import SecretStr
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from core.workflows.actions import ActionError, OutcomeUnknownError
from integrations.text import clip

T = TypeVar("T")

_MAX_BYTES = 16 * 1024 * 1024
_USER_AGENT = "countersign-bot"
_VERSION = {"X-GitHub-Api-Version": "2022-11-28"}
_ATTEMPTS = 3
_PAUSE = wait_random_exponential(multiplier=0.3, max=5)
_OPEN_AFTER = 5
_OPEN_FOR_S = 30.0


class _FaultError(ActionError):
    """GitHub could not be reached or has a fault of its own, which may pass; nothing was done."""


class _TooLargeError(ActionError):
    """The answer is larger than we read; whatever was asked has been done."""


class GitHubClient:
    """Calls one GitHub API with one token.

    Args:
        base_url: `https://api.github.com`, or `https://HOST/api/v3` of an Enterprise Server.
        token: None where none is configured: every call says so.
    """

    def __init__(
        self, integration_id: str, base_url: str, token: SecretStr | None, timeout_s: float
    ) -> None:
        self._file = f"integrations/{integration_id}.yaml"
        self._base_url = base_url.rstrip("/")
        self._graphql_url = self._base_url.removesuffix("/v3") + "/graphql"
        self._token = token
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._breakers = AsyncCircuitBreakerFactory(_OPEN_AFTER, _OPEN_FOR_S)
        self._last_failure = ""

    @property
    def has_token(self) -> bool:
        """Whether it can call at all."""
        return self._token is not None

    async def start(self) -> None:
        """Open the connection pool."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, connect=10)
        )

    async def close(self) -> None:
        """Close the connection pool."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, url: str, variables: Mapping[str, str]) -> Any:
        """The JSON at `url` (a path, RFC 6570 template).

        Raises:
            ActionError: there is no such answer; the message says why.
        """

        async def once() -> Any:
            async with self._calling(changes=False) as api:
                return await api.getitem(url, variables, extra_headers=_VERSION)

        return await _repeated(once)

    async def get_list(
        self, url: str, variables: Mapping[str, str], limit: int, name: str = "items"
    ) -> tuple[list[Any], bool]:
        """Up to `limit` items of a paginated list, and whether there are more.

        Args:
            name: of the list, where the answer is not a list but has one.

        Raises:
            ActionError: there is no such answer; the message says why.
        """

        async def once() -> tuple[list[Any], bool]:
            items: list[Any] = []
            async with self._calling(changes=False) as api:
                async for item in api.getiter(
                    url, variables, extra_headers=_VERSION, iterable_key=name
                ):
                    if len(items) == limit:
                        return items, True
                    items.append(item)
            return items, False

        return await _repeated(once)

    async def post(self, url: str, variables: Mapping[str, str], data: Mapping[str, Any]) -> Any:
        """Post JSON; return the answer's.

        Raises:
            ActionError: GitHub refused, or could not be reached at all.
            OutcomeUnknownError: the connection broke after the request was sent.
        """
        async with self._calling(changes=True) as api:
            return await api.post(url, variables, data=dict(data), extra_headers=_VERSION)

    async def put(self, url: str, variables: Mapping[str, str], data: Mapping[str, Any]) -> Any:
        """As `post`."""
        async with self._calling(changes=True) as api:
            return await api.put(url, variables, data=dict(data), extra_headers=_VERSION)

    async def graphql(self, mutation: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Run a GraphQL mutation; return its `data`.

        Raises:
            ActionError: GitHub refused, or could not be reached at all.
            OutcomeUnknownError: something was sent, and the answer does not say what became of it.
        """
        answer = await self.post(
            self._graphql_url, {}, {"query": mutation, "variables": dict(variables)}
        )
        data = answer.get("data") if isinstance(answer, dict) else None
        if isinstance(data, dict) and any(value is not None for value in data.values()):
            return data
        errors = answer.get("errors") if isinstance(answer, dict) else None
        if not isinstance(errors, list) or not errors:
            raise OutcomeUnknownError("GitHub's answer to the mutation has no data.")
        said = (str(error.get("message")) for error in errors[:5] if isinstance(error, dict))
        raise ActionError(f"GitHub refuses: {clip('; '.join(said), 500)}.")

    @asynccontextmanager
    async def _calling(self, *, changes: bool) -> AsyncIterator[GitHubAPI]:
        if self._token is None:
            raise ActionError(
                f"GitHub cannot be called without a token: add `token: NAME` under secrets in "
                f"{self._file} and set the variable NAME."
            )
        if self._session is None:
            raise ActionError("The GitHub integration is not started, or closed already.")
        breaker = await self._breakers.get_breaker("GitHub", exclude=[(ActionError, _is_refusal)])
        try:
            async with breaker, self._explaining(changes=changes):
                yield _Api(self._session, self._base_url, self._graphql_url, self._token)
        except (_FaultError, OutcomeUnknownError) as error:
            self._last_failure = str(error)
            raise
        except OpenedState as error:
            wait_s = max(1, round(error.opened_at + _OPEN_FOR_S - time.time()))
            raise ActionError(
                f"{self._last_failure} GitHub has failed {_OPEN_AFTER} times in a row and is left "
                f"alone for {wait_s} s more."
            ) from error

    @asynccontextmanager
    async def _explaining(self, *, changes: bool) -> AsyncIterator[None]:
        """What went wrong, in our words."""
        unsure = OutcomeUnknownError if changes else _FaultError
        try:
            yield
        except _TooLargeError as error:
            if changes:
                raise OutcomeUnknownError(str(error)) from error
            raise
        except aiohttp.ClientConnectorError as error:
            raise _FaultError(
                f"GitHub cannot be reached at {self._base_url}: {error.os_error}."
            ) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            detail = str(error) or f"no answer in {self._timeout_s:g} s"
            raise unsure(f"The connection to GitHub broke: {detail}.") from error
        except GitHubBroken as error:
            raise unsure(f"GitHub has a fault of its own: {error}.") from error
        except GitHubException as error:
            raise ActionError(self._explain(error)) from error
        except ValueError as error:
            raise unsure(f"GitHub's answer is not JSON: {error}.") from error

    def _explain(self, error: GitHubException) -> str:
        if isinstance(error, RateLimitExceeded):
            reset = error.rate_limit.reset_datetime
            return f"GitHub's rate limit is used up; it allows more at {reset:%H:%M} UTC."
        if isinstance(error, RedirectionException):
            return f"GitHub answers with a redirect ({error}): has the repository been renamed?"
        if isinstance(error, HTTPException):
            wait = error.headers.get("retry-after")
            if wait and error.status_code in {
                HTTPStatus.FORBIDDEN,
                HTTPStatus.TOO_MANY_REQUESTS,
            }:
                return f"GitHub asks to slow down; try again in {wait:.10} s."
            if error.status_code == HTTPStatus.UNAUTHORIZED:
                return f"GitHub does not take the token that {self._file} names: renew it."
            if error.status_code == HTTPStatus.FORBIDDEN:
                return f"GitHub forbids it: {error}. Give the token that permission."
            if error.status_code == HTTPStatus.NOT_FOUND:
                return "GitHub finds no such thing, or the token may not see it."
        return f"GitHub refuses: {error}."


def _is_refusal(error: BaseException) -> bool:
    """A GitHub that refuses is up."""
    return not isinstance(error, _FaultError)


async def _repeated(call: Callable[[], Awaitable[T]]) -> T:
    """A call without effect, tried again while GitHub has a fault."""
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(_FaultError),
        stop=stop_after_attempt(_ATTEMPTS),
        wait=_PAUSE,
        reraise=True,
    )
    return await retrying(call)


class _Api(GitHubAPI):
    def __init__(
        self, session: aiohttp.ClientSession, base_url: str, graphql_url: str, token: SecretStr
    ) -> None:
        super().__init__(_USER_AGENT, oauth_token=token.get_secret_value(), base_url=base_url)
        self._session = session
        self._graphql_url = graphql_url

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> tuple[int, Mapping[str, str], bytes]:
        if not url.startswith(self.base_url + "/") and url != self._graphql_url:
            # The token goes nowhere else, whatever a `Link` header says.
            raise ActionError(f"GitHub points to an address outside {self.base_url}.")
        async with self._session.request(
            method, url, headers=headers, data=body, allow_redirects=False
        ) as response:
            answer = bytearray()
            async for chunk in response.content.iter_any():
                answer += chunk
                if len(answer) > _MAX_BYTES:
                    raise _TooLargeError(f"GitHub's answer is larger than {_MAX_BYTES} bytes.")
            return response.status, response.headers, bytes(answer)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
