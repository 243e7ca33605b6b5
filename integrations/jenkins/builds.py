"""Jenkins' API, as far as jobs and builds go.

PyPI's `api4jenkins` (httpx, 80 ms to import) and `python-jenkins` (requests, so not asynchronous)
know nothing of our limits, of what may be repeated and of the breaker; what we need is six paths.
https://www.jenkins.io/doc/book/using/remote-access-api/
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from urllib.parse import quote

from core.workflows.actions import OutcomeUnknownError
from integrations.calling import Answer, SystemClient
from integrations.jenkins.payloads import Builds, BuildState, Job, Queue, QueueItem

_JOB = "url,buildable,property[parameterDefinitions[name,choices]],lastBuild[number,result]"
_BUILD = "number,url,building,result,duration,displayName"
_PARAMETERS = "actions[parameters[name,value]]"
_ITEM = f"id,why,cancelled,executable[number,url],{_PARAMETERS}"
_LOOK_BACK = 200
_QUEUE_ITEM = re.compile(r"/queue/item/([0-9]{1,18})/?$")


class JenkinsBuilds:
    """Starts builds and watches them.

    Args:
        poll_s: seconds between two looks at what is waited for.
    """

    def __init__(self, client: SystemClient, poll_s: float = 3.0) -> None:
        self._client = client
        self._poll_s = poll_s

    async def job(self, name: str) -> Job:
        """The job of that full name.

        Raises:
            ActionError: there is none that the user may see, or Jenkins does not answer.
        """
        return (await self._get(_path(name), _JOB)).read(Job)

    async def start(self, name: str, parameters: Mapping[str, str], *, declared: bool) -> int:
        """Ask for a build; return the id of its item in the queue.

        With an API token no crumb is needed.

        Args:
            declared: whether the job declares parameters at all; Jenkins has two paths.

        Raises:
            ActionError: it was not taken.
            OutcomeUnknownError: it may have been taken.
        """
        answer = await self._client.call(
            "POST",
            f"{_path(name)}/{'buildWithParameters' if declared else 'build'}",
            form=dict(parameters) if declared else None,
            idempotent=False,
        )
        found = _QUEUE_ITEM.search(answer.headers.get("Location", ""))
        if found is None:
            raise OutcomeUnknownError(
                f"Jenkins took the request for {name}, and does not say where it is in the queue: "
                "look at the job."
            )
        return int(found.group(1))

    async def started_with(self, name: str, parameter: str, value: str) -> QueueItem | None:
        """The item of the queue, or the build as one, that has that value of that parameter.

        Raises:
            ActionError: Jenkins does not answer.
            OutcomeUnknownError: there are more builds than are looked at, and it is none of these.
        """
        # The queue first: what leaves it meanwhile is among the builds then.
        queue = (await self._get("/queue", f"items[{_ITEM}]")).read(Queue)
        waiting = next((item for item in queue.items if item.has(parameter, value)), None)
        if waiting is not None:
            return waiting
        # `builds` has the latest 100 only, and does not say that there are more.
        listed = f"allBuilds[{_BUILD},{_PARAMETERS}]{{0,{_LOOK_BACK}}}"
        builds = (await self._get(_path(name), listed)).read(Builds).builds
        for build in builds:
            if build.has(parameter, value):
                return QueueItem.model_validate(
                    {"id": 0, "executable": {"number": build.number, "url": build.url}}
                )
        if len(builds) >= _LOOK_BACK:
            raise OutcomeUnknownError(
                f"{_LOOK_BACK} newer builds of {name} are there: look yourself whether one has "
                f"{parameter}={value}."
            )
        return None

    async def leave_queue(self, item: int, limit_s: float) -> QueueItem:
        """The item once it has become a build or was cancelled, or as it is after `limit_s`.

        Raises:
            ActionError: Jenkins does not answer, or knows the item no more.
        """
        deadline = asyncio.get_running_loop().time() + limit_s
        while True:
            found = (await self._get(f"/queue/item/{item}", _ITEM)).read(QueueItem)
            late = asyncio.get_running_loop().time() >= deadline
            if found.executable is not None or found.cancelled or late:
                return found
            await asyncio.sleep(self._poll_s)

    async def build(self, name: str, number: int) -> BuildState:
        """One build as it is.

        Raises:
            ActionError: there is none, or Jenkins does not answer.
        """
        return (await self._get(f"{_path(name)}/{number}", _BUILD)).read(BuildState)

    async def end(self, name: str, number: int, limit_s: float) -> BuildState:
        """The build once it has ended, or as it is after `limit_s`.

        Raises:
            ActionError: there is none, or Jenkins does not answer.
        """
        deadline = asyncio.get_running_loop().time() + limit_s
        while True:
            found = await self.build(name, number)
            if not found.building or asyncio.get_running_loop().time() >= deadline:
                return found
            await asyncio.sleep(self._poll_s)

    async def _get(self, path: str, tree: str) -> Answer:
        return await self._client.get(f"{path}/api/json", {"tree": tree})


def _path(job: str) -> str:
    """`team/deploy` as `/job/team/job/deploy`."""
    return "".join(f"/job/{quote(part, safe='')}" for part in job.split("/"))
