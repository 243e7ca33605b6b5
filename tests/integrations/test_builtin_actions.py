"""assistant.ask and slack.post, on what core asks of the edges."""

from typing import Any

import pytest

from core.errors import InvalidRequestError
from core.ports import Announcement, PostedMessage, PresentationError
from core.records import Idempotency, Place, Risk
from core.services.ai import OrchestratorBusyError
from core.workflows.actions import ActionError
from integrations.builtin import AskAssistant, PostMessage
from tests.support.intake import attempt


class Room:
    """Remembers what was said, each key once."""

    def __init__(self) -> None:
        self.said: dict[str, tuple[Place, str]] = {}
        self.away = False

    async def say(self, place: Place, text: str, key: str) -> PostedMessage:
        if self.away:
            raise PresentationError("Slack is away.")
        where, _ = self.said.setdefault(key, (place, text))
        return PostedMessage(channel=where.channel, message="1.2", thread=where.thread or "1.2")

    async def announce(self, announcement: Announcement) -> PostedMessage:
        raise AssertionError("actions announce nothing")


class TestPostMessage:
    async def test_in_the_runs_thread_it_only_reads(self) -> None:
        room = Room()
        action = PostMessage(room)
        arguments = action.read({"text": "Deployed <!channel>"})
        result = await action.execute(arguments, attempt())

        assert room.said == {"run-1/step-1": (Place(channel="C1", thread="1.1"), arguments.text)}
        assert result.values == {"channel": "C1", "message": "1.2"}
        assert action.risk_of(arguments) is Risk.READ
        assert action.idempotency_of(arguments) is Idempotency.KEYED

    async def test_in_another_channel_it_is_a_change(self) -> None:
        room = Room()
        action = PostMessage(room)
        arguments = action.read({"text": "Deployed", "channel": "#releases"})
        await action.execute(arguments, attempt())

        assert room.said["run-1/step-1"][0] == Place(channel="#releases")
        assert action.risk_of(arguments) is Risk.CHANGE
        assert action.describe(arguments) == "Post in #releases: Deployed"

    async def test_a_repeated_attempt_says_nothing_twice(self) -> None:
        room = Room()
        action = PostMessage(room)
        arguments = action.read({"text": "Deployed"})
        first = await action.execute(arguments, attempt())
        again = await action.execute(arguments, attempt(repeated=True))
        assert first == again
        assert len(room.said) == 1

    async def test_nobody_can_be_told(self) -> None:
        room = Room()
        room.away = True
        action = PostMessage(room)
        with pytest.raises(ActionError, match="Slack is away"):
            await action.execute(action.read({"text": "Deployed"}), attempt())

    @pytest.mark.parametrize(
        "wrong", [{"text": ""}, {"text": "x" * 12_001}, {"text": "x", "channel": "D123"}]
    )
    def test_arguments_that_are_not_what_they_should_be(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(InvalidRequestError, match=r"slack\.post"):
            PostMessage(Room()).read(wrong)


class TestAskAssistant:
    async def test_the_answer_is_for_later_steps(self) -> None:
        async def ask(assistant: str, question: str) -> str:
            return f"{assistant} was asked {question}"

        action = AskAssistant(ask)
        arguments = action.read({"assistant": "planner", "question": "What next?"})
        result = await action.execute(arguments, attempt())

        assert result.values == {"answer": "planner was asked What next?"}
        assert action.risk_of(arguments) is Risk.READ
        assert action.idempotency_of(arguments) is Idempotency.NATURAL
        assert action.describe(arguments) == "Ask planner: What next?"

    async def test_no_answer(self) -> None:
        async def ask(assistant: str, question: str) -> str:
            raise OrchestratorBusyError("The queue is full.")

        action = AskAssistant(ask)
        arguments = action.read({"assistant": "planner", "question": "What next?"})
        with pytest.raises(ActionError, match="planner has no answer: The queue is full"):
            await action.execute(arguments, attempt())
