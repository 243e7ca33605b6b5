"""npm's emulate, a GitHub that is not ours: it takes our actions' calls, and what they do comes
back to us as its own webhooks.

It has no commit statuses, so a door before it answers that one question as GitHub would for a
commit without any; all else goes through.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from core.records import Event
from core.workflows.actions import ActionError
from integrations.events import events_of
from tests.support import emulate
from tests.support.emulate import EmulatedGitHub, emulated_github
from tests.support.github_api import example
from tests.support.github_client import action, connected
from tests.support.intake import GITHUB_SECRET, Intake, attempt
from tests.support.until import until


@pytest.fixture
async def github(tmp_path: Path) -> AsyncIterator[EmulatedGitHub]:
    async with emulated_github(tmp_path) as running:
        yield running


@asynccontextmanager
async def with_commit_statuses(github: EmulatedGitHub) -> AsyncIterator[str]:
    """The address of the door."""

    async def forward(request: web.Request) -> web.Response:
        if request.path.endswith("/status"):
            none = {"state": "pending", "statuses": [], "total_count": 0}
            return web.json_response(example("combined-commit-status") | none)
        kept = {n: request.headers[n] for n in ("Authorization", "Accept") if n in request.headers}
        async with session.request(
            request.method, github.url + request.path_qs, headers=kept, data=await request.read()
        ) as answer:
            body = await answer.read()
            return web.Response(status=answer.status, body=body, content_type=answer.content_type)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    runner = web.AppRunner(app, access_log=None)
    async with aiohttp.ClientSession() as session:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        await runner.cleanup()


async def subscribe(github: EmulatedGitHub, intake: Intake, repository: str) -> None:
    config = {"url": f"{intake.url}/webhooks/github", "secret": GITHUB_SECRET}
    await github.call(
        "POST",
        f"/repos/{repository}/hooks",
        {"config": config | {"content_type": "json"}, "events": ["*"]},
    )


async def told(intake: Intake, about: str, *kinds: str) -> list[Event]:
    """The events about one subject, in their order, once those kinds are among them."""
    events: list[Event] = []

    async def complete() -> bool:
        for delivery in await intake.stored():
            read = events_of(delivery, intake.integrations)
            events.extend(event for event in read if event.subject == about)
            await intake.inbox.finish(delivery)
        return set(kinds) <= {event.kind for event in events}

    await until(complete, f"{kinds} of {about}", limit_s=30)
    return events


async def open_pull_request(github: EmulatedGitHub, repository: str) -> tuple[Any, str]:
    """A pull request of one commit; returns it and its head."""
    head = await github.call("GET", f"/repos/{repository}/git/ref/heads/main")
    tree = await github.call("GET", f"/repos/{repository}/git/commits/{head['object']['sha']}")
    commit = await github.call(
        "POST",
        f"/repos/{repository}/git/commits",
        {
            "message": "Fix",
            "tree": tree["commit"]["tree"]["sha"],
            "parents": [head["object"]["sha"]],
        },
    )
    sha = str(commit["sha"])
    await github.call(
        "POST", f"/repos/{repository}/git/refs", {"ref": "refs/heads/fix", "sha": sha}
    )
    pull = await github.call(
        "POST",
        f"/repos/{repository}/pulls",
        {"title": "Fix the checkout", "head": "fix", "base": "main"},
    )
    return pull, sha


async def check(
    github: EmulatedGitHub, repository: str, sha: str, name: str, conclusion: str
) -> None:
    await github.call(
        "POST",
        f"/repos/{repository}/check-runs",
        {"name": name, "head_sha": sha, "status": "completed", "conclusion": conclusion},
    )


async def test_an_issue_and_a_comment(github: EmulatedGitHub, intake: Intake) -> None:
    repository = await github.create_repository("shop")
    await subscribe(github, intake, repository)
    async with connected(github.url, emulate.TOKEN) as integration:
        create = action(integration, "github.create_issue")
        opened = await create.execute(
            create.read({"repository": repository, "title": "Checkout fails"}), attempt()
        )
        number = opened.values["number"]
        comment = action(integration, "github.comment")
        arguments = comment.read(
            {
                "repository": repository,
                "number": number,
                "body": "Rolled back.\n<!-- countersign:run-9/step-1 -->",
            }
        )
        preview = await comment.preview(arguments)
        first = await comment.execute(arguments, attempt())
        again = await comment.execute(arguments, attempt(repeated=True))
        other = await comment.execute(arguments, attempt("run-9/step-1", repeated=True))

    assert preview is not None
    assert "Checkout fails" in preview
    assert again.values == first.values
    assert other.values != first.values  # a marker in somebody's text is not ours
    comments = await github.call("GET", f"/repos/{repository}/issues/{number}/comments")
    assert len(comments) == 2
    assert comments[0]["body"].startswith("Rolled back.")

    about = f"{repository}#{number}"
    events = await told(intake, about, "issue.opened", "issue.commented")
    commented = {e.attributes["url"]: e for e in events if e.kind == "issue.commented"}
    assert "Rolled back." in str(commented[first.values["url"]].attributes["comment"])


async def test_a_pull_request_is_merged_when_its_check_has_passed(
    github: EmulatedGitHub, intake: Intake
) -> None:
    repository = await github.create_repository("shop")
    await subscribe(github, intake, repository)
    pull, sha = await open_pull_request(github, repository)
    await check(github, repository, sha, "ci", "success")
    async with (
        with_commit_statuses(github) as url,
        connected(url, emulate.TOKEN) as integration,
    ):
        merge = action(integration, "github.merge")
        arguments = merge.read({"repository": repository, "number": pull["number"], "sha": sha})
        preview = await merge.preview(arguments)
        result = await merge.execute(arguments, attempt())
        again = await merge.execute(arguments, attempt(repeated=True))

    assert preview is not None
    assert "checks: 1 success" in preview
    merged = await github.call("GET", f"/repos/{repository}/pulls/{pull['number']}")
    assert merged["merged"] is True
    assert result.values["sha"] == again.values["sha"] == merged["merge_commit_sha"]

    kinds = ("pull_request.opened", "pull_request.closed", "pull_request.merged")
    events = await told(intake, f"{repository}#{pull['number']}", *kinds)
    assert sorted(event.kind for event in events) == sorted(kinds)
    assert {event.attributes["sha"] for event in events} == {sha}


async def test_checks_are_looked_at_on_every_page(github: EmulatedGitHub) -> None:
    repository = await github.create_repository("shop")
    pull, sha = await open_pull_request(github, repository)
    for number in range(120):
        await check(github, repository, sha, f"ci {number}", "success" if number else "failure")
    async with (
        with_commit_statuses(github) as url,
        connected(url, emulate.TOKEN) as integration,
    ):
        merge = action(integration, "github.merge")
        arguments = merge.read({"repository": repository, "number": pull["number"], "sha": sha})
        with pytest.raises(ActionError, match="1 failure, 119 success"):
            await merge.execute(arguments, attempt())
    unmerged = await github.call("GET", f"/repos/{repository}/pulls/{pull['number']}")
    assert unmerged["merged"] is False
