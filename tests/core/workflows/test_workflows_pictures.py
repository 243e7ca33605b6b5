"""Pictures are checked before they are taken, and stored before the step that gave them ends."""

from __future__ import annotations

import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from core.errors import CountersignError
from core.store.pictures import PictureStore
from core.store.tables import pictures, run_steps
from core.workflows.actions import ActionContext, ActionResult
from core.workflows.pictures import (
    LONGEST_SIDE,
    MAX_PICTURE_BYTES,
    KeptPicture,
    Picture,
    PictureError,
)
from core.workflows.run import Run, RunState, StepState
from tests.core.workflows.countersigning import World
from tests.core.workflows.parts import LineArguments
from tests.support.pictures import SIGNATURE, chunk, png

pytestmark = pytest.mark.asyncio(loop_scope="module")
WHOLE = png()
_HEADER = struct.pack(">IIBBBBB", 3, 2, 8, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "data", [WHOLE, png(1, 1), png(LONGEST_SIDE, 1), png(comment=b"by a test")]
)
async def test_a_whole_png_is_taken(data: bytes) -> None:
    assert Picture(data, "a grey square").data == data


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not a PNG: ask for it as image/png"),
        (b"<html>sign in</html>", "not a PNG"),
        (b"\xff\xd8\xff\xe0" + WHOLE, "not a PNG"),
        (SIGNATURE, "header is broken"),
        (SIGNATURE + chunk(b"IDAT", b"x" * 13) + chunk(b"IEND", b""), "header is broken"),
        (SIGNATURE + chunk(b"IHDR", _HEADER)[:-1] + b"!" + chunk(b"IEND", b""), "header is broken"),
        (SIGNATURE + chunk(b"IHDR", _HEADER + b"!") + chunk(b"IEND", b""), "header is broken"),
        (png(0, 2), "0 by 2 pixels"),
        (png(LONGEST_SIDE + 1, 1), f"{LONGEST_SIDE + 1} by 1 pixels"),
        (png(1, LONGEST_SIDE + 1), f"1 by {LONGEST_SIDE + 1} pixels"),
        (WHOLE[:-1], "cut off"),
        (WHOLE + b"<script>", "something follows it"),
        (png(comment=b"x" * MAX_PICTURE_BYTES), "ask for a smaller one"),
    ],
)
async def test_all_else_is_refused_with_the_reason(data: bytes, problem: str) -> None:
    with pytest.raises(PictureError, match=problem):
        Picture(data, "a grey square")


@pytest.mark.parametrize("alt", ["", " \n", "x" * 1001])
async def test_a_picture_says_in_words_what_it_shows(alt: str) -> None:
    with pytest.raises(CountersignError, match="say what it shows"):
        Picture(WHOLE, alt)


@pytest.fixture
def draws(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the file gives a picture of it."""

    async def draw(arguments: LineArguments, context: ActionContext) -> ActionResult:
        shown = Picture(png(comment=arguments.line.encode()), f"the file with\x00 {arguments.line}")
        return ActionResult(summary="Drawn.", picture=shown)

    monkeypatch.setattr(world.actions["file.read"], "execute", draw)


async def drawn(world: World, line: str) -> Run:
    """A run with a picture, at its end."""
    return await world.ended(await world.request("look", line), RunState.SUCCEEDED)


@pytest.mark.usefixtures("draws")
async def test_a_step_says_which_picture_it_gave_and_the_bytes_are_beside_it(world: World) -> None:
    run = await drawn(world, "disk")

    (step,) = run.steps
    expected = png(comment=b"disk")
    assert step.picture is not None
    assert (step.picture.alt, step.picture.size) == ("the file with\ufffd disk", len(expected))
    assert await PictureStore(world.database).read(run.id, step.picture.digest) == expected


async def test_a_step_without_one_says_nothing(world: World) -> None:
    run = await drawn(world, "plain")

    assert run.steps[0].picture is None
    null = select(run_steps.c.position).where(
        run_steps.c.run_id == run.id, run_steps.c.picture.is_(None)
    )
    async with world.database.read() as connection:
        assert (await connection.execute(null)).scalars().all() == [0]


@pytest.mark.usefixtures("draws")
async def test_the_same_picture_of_a_run_is_stored_once(world: World) -> None:
    run = await drawn(world, "twice")
    store = PictureStore(world.database)
    again = await store.keep(run.id, Picture(png(comment=b"twice"), "the same"))
    await store.keep(run.id, Picture(png(comment=b"another"), "another"))

    assert run.steps[0].picture is not None
    assert again.digest == run.steps[0].picture.digest
    count = select(func.count()).select_from(pictures).where(pictures.c.run_id == run.id)
    async with world.database.read() as connection:
        assert (await connection.execute(count)).scalar_one() == 2


@pytest.mark.usefixtures("draws")
async def test_old_pictures_are_removed_and_the_run_stays(world: World) -> None:
    run = await drawn(world, "old")
    picture = run.steps[0].picture
    assert picture is not None
    store, now = PictureStore(world.database), datetime.now(UTC)

    await store.purge(now - timedelta(days=1))
    assert await store.read(run.id, picture.digest) is not None

    assert await store.purge(now + timedelta(seconds=1)) >= 1
    assert await store.read(run.id, picture.digest) is None
    assert (await world.service.get(run.id)).steps[0].picture == picture


@pytest.mark.usefixtures("draws")
async def test_it_is_stored_before_its_step_has_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[StepState] = []
    tools = world.execution._tools

    async def keep(run_id: str, picture: Picture) -> KeptPicture:
        kept = await tools.keep(run_id, picture)
        seen.append((await world.store.get(run_id)).steps[0].state)
        return kept

    monkeypatch.setattr(world.execution, "_tools", replace(tools, keep=keep))
    await drawn(world, "order")

    assert seen == [StepState.RUNNING]
