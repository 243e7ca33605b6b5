"""What the listeners keep of each payload: only what is needed, so no token and no response URL.

Slack's payloads: https://docs.slack.dev/reference/interaction-payloads and /reference/events.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from bot.blocks.glass_form import REASON_CHARACTERS
from bot.blocks.run_form import FormState
from core.errors import InvalidRequestError
from core.records import Frozen, Place, StorableText, Value

UserId = Annotated[str, Field(pattern=r"^[UW][A-Z0-9]{2,30}$")]
ChannelId = Annotated[str, Field(pattern=r"^[CDG][A-Z0-9]{2,30}$")]
Ts = Annotated[str, Field(pattern=r"^\d{1,15}\.\d{1,10}$")]
Text = Annotated[str, Field(max_length=40_000)]


class CommandItem(Frozen):
    """The slash command; `text` is what follows its name, as Slack sends it."""

    kind: Literal["command"] = "command"
    user: UserId
    channel: ChannelId
    text: Text


class MessageItem(Frozen):
    """A mention, a direct message, or a reply that may be a decision."""

    kind: Literal["mention", "direct", "reply"]
    user: UserId
    channel: ChannelId
    text: Text
    ts: Ts
    thread: Ts | None = None

    @property
    def place(self) -> Place:
        """The thread that an answer belongs in."""
        return Place(channel=self.channel, thread=self.thread or self.ts)


class HomeItem(Frozen):
    """Somebody opened the bot's home or its direct messages."""

    kind: Literal["home"] = "home"
    user: UserId
    tab: Literal["home", "messages"]
    channel: str = Field(default="", max_length=40)


class StopItem(Frozen):
    """Somebody pressed Stop under an answer that is being written."""

    kind: Literal["stop"] = "stop"
    user: UserId | None = None
    channel: ChannelId
    thread: Ts


class PressItem(Frozen):
    """A press of a button, or a choice from a menu.

    Attributes:
        thread: where what follows belongs: the thread of the button's message, or the one it
            would start.
        inside: the thread in which the button's message stands already; None for a message that
            stands in the channel, where its presser looks, too.
    """

    kind: Literal["press"] = "press"
    user: UserId
    action: str = Field(max_length=255)
    value: str = Field(max_length=2000)
    channel: ChannelId | None = None
    thread: Ts | None = None
    inside: Ts | None = None

    @property
    def place(self) -> Place | None:
        """Where its presser looks; None for the home tab."""
        return Place(channel=self.channel, thread=self.inside) if self.channel else None


class FormItem(Frozen):
    """A filled-in run form.

    Attributes:
        ticked: names of model-written values that the person has confirmed.
    """

    kind: Literal["form"] = "form"
    user: UserId
    state: FormState
    values: dict[str, Value]
    ticked: tuple[str, ...] = ()


class PhraseItem(Frozen):
    """A typed phrase for a countersignature."""

    kind: Literal["phrase"] = "phrase"
    user: UserId
    run: str = Field(max_length=120)
    phrase: str = Field(max_length=300)


class GlassItem(Frozen):
    """A reason for breaking the glass."""

    kind: Literal["glass"] = "glass"
    user: UserId
    run: str = Field(max_length=120)
    reason: StorableText = Field(max_length=REASON_CHARACTERS)


Item = (
    CommandItem | MessageItem | HomeItem | StopItem | PressItem | FormItem | PhraseItem | GlassItem
)
_ITEM: TypeAdapter[Item] = TypeAdapter(Annotated[Item, Field(discriminator="kind")])


def read_item(body: bytes) -> Item:
    """A kept item.

    Raises:
        InvalidRequestError: it is not one.
    """
    try:
        return _ITEM.validate_json(body)
    except ValidationError as error:
        raise InvalidRequestError(f"A kept Slack payload cannot be read: {error}") from error


def from_command(body: dict[str, Any]) -> CommandItem:
    """From a slash command's payload."""
    return CommandItem(user=body["user_id"], channel=body["channel_id"], text=body.get("text", ""))


def from_message(event: dict[str, Any], kind: Literal["mention", "direct", "reply"]) -> MessageItem:
    """From a `message` or `app_mention` event."""
    return MessageItem(
        kind=kind,
        user=event["user"],
        channel=event["channel"],
        text=event.get("text") or "",
        ts=event["ts"],
        thread=event.get("thread_ts"),
    )


def from_press(body: dict[str, Any], action: dict[str, Any]) -> PressItem:
    """From a `block_actions` payload."""
    container = body.get("container", {})
    message = None if container.get("is_ephemeral") else container.get("message_ts")
    chosen = action.get("selected_option") or {}
    inside = container.get("thread_ts") or (body.get("message") or {}).get("thread_ts")
    return PressItem(
        user=body["user"]["id"],
        action=action["action_id"],
        value=action.get("value") or chosen.get("value") or "",
        channel=(body.get("channel") or {}).get("id") or container.get("channel_id"),
        thread=inside or message,
        inside=inside if inside != message else None,
    )
