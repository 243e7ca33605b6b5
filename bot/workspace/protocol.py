"""The page's JSON API: what the browser sends to the workspace and gets back.

Rules that hold for every route:

* GET arguments are query parameters. POST bodies are JSON and need
  `Content-Type: application/json`. Unknown body fields are refused.
* The `Host` header must name this machine's loopback; `Origin` and `Sec-Fetch-Site`, when the
  browser sends them, must be the server's own. Same-origin pages need to do nothing for that.
* Failures of the request itself are HTTP 4xx with a `Problem` body: 400 the body is malformed,
  403 a foreign origin, 404 no such user, channel, message, view, block or file, 409 not now,
  413 too large, 415 not JSON.
* A request that reached the bot but was not acknowledged is HTTP 200 with `Answer.ok` false:
  `Answer.error` is Slack's code and `Answer.message` the sentence that Slack would show. The same
  goes out as a `DeliveryFailed` event to the user's pages.
* Times are Slack's `ts`: decimal seconds since 1970 with six digits, as a string; unique within
  the workspace, and ordered as strings.

| route | in | out |
| --- | --- | --- |
| GET /page/state | user (left out: the first person) | `PageState` |
| GET /page/messages | channel, user | `MessageList` (top level, oldest first) |
| GET /page/replies | channel, ts, user | `MessageList` (the parent first) |
| GET /page/home | user | `HomeView`; tells the bot `app_home_opened` (tab `home`) |
| GET /page/files/{id} | | the file's bytes |
| POST /page/opened | `Opened` | `Answer`; tells the bot `app_home_opened` (tab `messages`) |
| POST /page/say | `Say` | `Said` |
| POST /page/command | `Command` | `Answer` |
| POST /page/action | `Action` | `Answer` |
| POST /page/submit | `Submit` | `Submitted` |
| POST /page/close_view | `CloseView` | `Answer` |
| POST /page/options | `OptionsQuery` | `OptionList` |
| POST /page/shortcut | `RunShortcut` | `Answer` |
| POST /page/stop | `Stop` | `Answer` |
| POST /page/react | `React` | `Answer` |
| WebSocket /page/live | user | server to page only: `LiveEvent`s as JSON text frames |

The page should open the WebSocket first, wait for `Hello`, then fetch; after a reconnect it
fetches again (events are not replayed).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from bot.workspace.page_records import (
    Channel,
    ChannelId,
    File,
    HomeView,
    Json,
    Message,
    MessageList,
    Name255,
    Out,
    PageState,
    Prompt,
    Reaction,
    Shortcut,
    SlashCommand,
    SuggestedPrompts,
    Team,
    ThreadStatus,
    Ts,
    User,
    UserGroup,
    UserId,
)

__all__ = [
    "LIVE_EVENT",
    "Action",
    "Answer",
    "BotConnection",
    "Channel",
    "ChannelChanged",
    "ChannelId",
    "CloseView",
    "Command",
    "DeliveryFailed",
    "Ephemeral",
    "File",
    "Hello",
    "HomePublished",
    "HomeView",
    "Json",
    "LiveEvent",
    "Message",
    "MessageChanged",
    "MessageDeleted",
    "MessageList",
    "Name255",
    "Opened",
    "OptionList",
    "OptionsQuery",
    "PageState",
    "Posted",
    "Problem",
    "Prompt",
    "PromptsChanged",
    "React",
    "Reaction",
    "RunShortcut",
    "Said",
    "Say",
    "Shortcut",
    "SlashCommand",
    "StatusChanged",
    "Stop",
    "Submit",
    "Submitted",
    "SuggestedPrompts",
    "Team",
    "ThreadStatus",
    "Ts",
    "User",
    "UserGroup",
    "UserId",
    "Values",
    "ViewClosed",
    "ViewErrors",
    "ViewOpened",
    "ViewUpdated",
]


class In(BaseModel):
    """What the page sends; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# --- what a person does --------------------------------------------------------------------------


class Problem(Out):
    """Body of every 4xx answer."""

    error: str
    message: str


class Answer(Out):
    """What became of a request: `ok`, or Slack's error code and the sentence to show."""

    ok: bool
    error: str | None = None
    message: str | None = None


class Opened(In):
    """The person opened the direct message with the bot."""

    user: UserId
    tab: Literal["messages"] = "messages"


class Say(In):
    """A message as typed. The server makes of it what Slack's composer would.

    `@handle` becomes a mention, `#channel` a link, `@here` a broadcast, and `&`, `<` and `>` are
    escaped: send exactly what is in the input box.
    """

    user: UserId
    channel: ChannelId
    text: str = Field(min_length=1, max_length=40_000)
    thread_ts: Ts | None = None
    broadcast: bool = False


class Said(Out):
    """The stored message; it also arrives as a `Posted` event."""

    ok: Literal[True] = True
    message: Message


class Command(In):
    """A line that starts with `/`.

    In a thread (`thread_ts` set) the answer is an error, as in Slack, which has no custom
    commands in threads.
    """

    user: UserId
    channel: ChannelId
    text: str = Field(pattern=r"^/", max_length=8_000)
    thread_ts: Ts | None = None


class Values(In):
    """State of the inputs: block_id -> action_id -> an element's value in Slack's shape.

    E.g. `{"reason": {"text": {"type": "plain_text_input", "value": "rollback"}}}`; selects send
    `selected_option` (an option object), `selected_options`, `selected_user`, `selected_date`, …
    """

    values: dict[Name255, dict[Name255, Json]] = Field(default_factory=dict)


class Action(In):
    """A press of a button, a choice in a select, … on a message, a modal or the home tab.

    Exactly one of `message_ts` (with `channel`; ephemeral messages too) and `view_id` is set.
    For buttons the server takes `value` from the stored block, never from the page. Ask for the
    element's `confirm` dialog before sending this.
    """

    user: UserId
    channel: ChannelId | None = None
    message_ts: Ts | None = None
    view_id: Name255 | None = None
    block_id: Name255
    action_id: Name255
    type: Name255
    value: str | None = Field(default=None, max_length=12_000)
    selected_option: Json | None = None
    selected_options: list[Json] | None = Field(default=None, max_length=100)
    selected_user: str | None = None
    selected_users: list[str] | None = None
    selected_channel: str | None = None
    selected_channels: list[str] | None = None
    selected_conversation: str | None = None
    selected_conversations: list[str] | None = None
    selected_date: str | None = None
    selected_time: str | None = None
    selected_date_time: int | None = None
    rich_text_value: Json | None = None
    state: Values = Field(default_factory=Values)


class Submit(In):
    """The submit button of the topmost modal."""

    user: UserId
    view_id: Name255
    values: dict[Name255, dict[Name255, Json]] = Field(default_factory=dict)


class Submitted(Answer):
    """What became of a submission.

    Attributes:
        response_action: None or `clear`: the modal(s) closed; `errors`: show `errors`;
            `update` and `push`: the new view arrives as `ViewUpdated` or `ViewOpened`.
        errors: block_id -> message.
    """

    response_action: Literal["errors", "update", "push", "clear"] | None = None
    errors: dict[str, str] = Field(default_factory=dict)


class CloseView(In):
    """The X or Cancel of a modal; `all` closes the whole stack."""

    user: UserId
    view_id: Name255
    all: bool = False


class OptionsQuery(In):
    """What was typed into an external select, on a message or a view."""

    user: UserId
    channel: ChannelId | None = None
    message_ts: Ts | None = None
    view_id: Name255 | None = None
    block_id: Name255
    action_id: Name255
    value: str = Field(default="", max_length=255)


class OptionList(Answer):
    """Options in Slack's shape: either `options` or `option_groups` is filled."""

    options: list[Json] = Field(default_factory=list)
    option_groups: list[Json] = Field(default_factory=list)


class RunShortcut(In):
    """A shortcut; for one of type `message`, `channel` and `message_ts` are needed."""

    user: UserId
    callback_id: Name255
    channel: ChannelId | None = None
    message_ts: Ts | None = None


class Stop(In):
    """The Stop button of a thread in which the bot is at work."""

    user: UserId
    channel: ChannelId
    thread_ts: Ts


class React(In):
    """Put an emoji on a message, or take the own one away."""

    user: UserId
    channel: ChannelId
    ts: Ts
    name: str = Field(pattern=r"^[a-z0-9_+'-]{1,100}$")
    remove: bool = False


# --- what the page is told -----------------------------------------------------------------------


class Hello(Out):
    """First frame of a connection."""

    type: Literal["hello"] = "hello"
    user: str


class Posted(Out):
    """A new message; a reply when `message.thread_ts` is another message."""

    type: Literal["message"] = "message"
    message: Message


class MessageChanged(Out):
    """Any change: text, stream, reactions, reply count. Replace the message with the same `ts`."""

    type: Literal["message_changed"] = "message_changed"
    message: Message


class MessageDeleted(Out):
    """A message (or an ephemeral one) is gone."""

    type: Literal["message_deleted"] = "message_deleted"
    channel: str
    ts: str
    thread_ts: str | None = None


class Ephemeral(Out):
    """A message that only this user sees; `message.thread_ts` says in which thread, if any."""

    type: Literal["ephemeral"] = "ephemeral"
    message: Message


class ViewOpened(Out):
    """A modal comes up on top of those that are open."""

    type: Literal["view_opened"] = "view_opened"
    view: Json


class ViewUpdated(Out):
    """The modal with the same `view.id` has new content; keep what was typed in blocks whose
    `block_id` stays the same."""

    type: Literal["view_updated"] = "view_updated"
    view: Json


class ViewClosed(Out):
    """The modal is gone; the one below it is on top again."""

    type: Literal["view_closed"] = "view_closed"
    view_id: str


class ViewErrors(Out):
    """The submission was refused: block_id -> message. The modal stays."""

    type: Literal["view_errors"] = "view_errors"
    view_id: str
    errors: dict[str, str]


class HomePublished(Out):
    """The user's App Home has new content."""

    type: Literal["home_published"] = "home_published"
    view: Json


class StatusChanged(Out):
    """Replace the status of the same channel and thread."""

    type: Literal["status"] = "status"
    status: ThreadStatus


class PromptsChanged(Out):
    """Replace the suggested prompts of the same channel and thread."""

    type: Literal["suggested_prompts"] = "suggested_prompts"
    prompts: SuggestedPrompts


class ChannelChanged(Out):
    """A channel that is new to this user, or has a new name, topic or member list."""

    type: Literal["channel"] = "channel"
    channel: Channel


class BotConnection(Out):
    """The bot became reachable or unreachable."""

    type: Literal["bot_connection"] = "bot_connection"
    connected: bool


class DeliveryFailed(Out):
    """The bot did not acknowledge something that this user did.

    Attributes:
        what: `command`, `block_actions`, `view_submission`, `view_closed`, `block_suggestion`,
            `shortcut`, `message_action` or an event's type.
        why: `operation_timeout` (no acknowledgement within 3 s), `dispatch_failed` (nothing is
            connected), `http_status_…`, or `bad_response`.
        message: the sentence to show, e.g. `/ops failed with the error "dispatch_failed"`.
        channel: where it was done, None for a modal or the home tab.
    """

    type: Literal["delivery_failed"] = "delivery_failed"
    what: str
    why: str
    message: str
    channel: str | None = None


LiveEvent = Annotated[
    Hello
    | Posted
    | MessageChanged
    | MessageDeleted
    | Ephemeral
    | ViewOpened
    | ViewUpdated
    | ViewClosed
    | ViewErrors
    | HomePublished
    | StatusChanged
    | PromptsChanged
    | ChannelChanged
    | BotConnection
    | DeliveryFailed,
    Field(discriminator="type"),
]
"""Everything that comes over `/page/live`."""

LIVE_EVENT: TypeAdapter[LiveEvent] = TypeAdapter(LiveEvent)
"""Reads a frame of `/page/live`."""
