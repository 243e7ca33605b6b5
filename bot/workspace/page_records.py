"""What a page draws: the records that the page's JSON API sends."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Json = dict[str, Any]
"""A JSON object in Slack's own shape (a block, a view, an option), passed through unchanged."""

UserId = Annotated[str, Field(pattern=r"^[UW][A-Z0-9]{1,20}$")]
ChannelId = Annotated[str, Field(pattern=r"^[CDG][A-Z0-9]{1,20}$")]
Ts = Annotated[str, Field(pattern=r"^\d{1,12}\.\d{6}$")]
Name255 = Annotated[str, Field(min_length=1, max_length=255)]


class Out(BaseModel):
    """What the server sends."""

    model_config = ConfigDict(frozen=True)


class Team(Out):
    """The workspace itself."""

    id: str
    name: str
    domain: str


class User(Out):
    """A person or the bot.

    Attributes:
        name: the handle typed after `@`.
        real_name: the name to show.
        title: what the person does, e.g. `SRE lead`; may be empty.
        is_bot: true for the one bot user.
    """

    id: str
    name: str
    real_name: str
    title: str = ""
    is_bot: bool = False


class UserGroup(Out):
    """A group that can be mentioned as `@handle`; on the wire `<!subteam^ID>`."""

    id: str
    handle: str
    name: str
    users: list[str]


class Channel(Out):
    """A channel, or a direct message between one person and the bot.

    Attributes:
        name: without `#`; empty for a direct message.
        is_im: true for a direct message; then `user` is the *other* side (the bot).
        members: user ids.
        latest: `ts` of the newest top-level message, None when there is none.
    """

    id: str
    name: str
    is_im: bool = False
    user: str | None = None
    topic: str = ""
    members: list[str] = Field(default_factory=list)
    latest: str | None = None


class SlashCommand(Out):
    """A slash command of the bot, as in its manifest; for the composer's completion.

    Attributes:
        command: with the slash, e.g. `/ops`.
        usage_hint: e.g. `help | ask … | run …`.
        should_escape: as in Slack's manifest: users and channels in the text arrive as
            `<@U…|name>` and `<#C…|name>`.
    """

    command: str = Field(pattern=r"^/[a-z0-9_-]{1,31}$")
    description: str = ""
    usage_hint: str = ""
    should_escape: bool = False


class Shortcut(Out):
    """A shortcut of the bot: `global` ones in the composer, `message` ones in a message's menu."""

    callback_id: str
    name: str
    description: str = ""
    type: Literal["global", "message"]


class ThreadStatus(Out):
    """What the bot says it is doing in one thread.

    Attributes:
        status: e.g. `is reading the runbook…`, shown after the bot's name; empty: nothing.
        loading_messages: shown in turn while `status` is set; may be empty.
        session: the agent session's state, None when the bot has opened none.
        title: the session's title, empty when unset.
        stoppable: show a Stop button (session is `processing`, or a message of it is streaming).
    """

    channel: str
    thread_ts: str
    status: str = ""
    loading_messages: list[str] = Field(default_factory=list)
    session: Literal["processing", "active", "suspended", "closed"] | None = None
    title: str = ""
    stoppable: bool = False


class Prompt(Out):
    """A suggested prompt: `title` on the chip, `message` is said when it is pressed."""

    title: str
    message: str


class SuggestedPrompts(Out):
    """Prompts for one thread of a direct message, or for the whole of it (`thread_ts` None)."""

    channel: str
    thread_ts: str | None = None
    title: str = ""
    prompts: list[Prompt] = Field(default_factory=list)


class PageState(Out):
    """Everything a page needs to draw its frame.

    Attributes:
        channels: the channels this user is in, then the direct message with the bot (always).
        views: the user's open modals, bottom first; the last one is on top.
        bot_connected: a bot is reachable: a Socket Mode connection, or a request URL is set.
    """

    team: Team
    user: str
    bot_user_id: str
    users: list[User]
    channels: list[Channel]
    user_groups: list[UserGroup]
    commands: list[SlashCommand]
    shortcuts: list[Shortcut]
    statuses: list[ThreadStatus]
    prompts: list[SuggestedPrompts]
    views: list[Json]
    bot_connected: bool


class Reaction(Out):
    """An emoji (without colons) and who put it there."""

    name: str
    count: int
    users: list[str]


class File(Out):
    """An uploaded file; its bytes are at `url` (same origin)."""

    id: str
    name: str
    title: str
    mimetype: str
    size: int
    url: str
    alt_txt: str = ""


class Message(Out):
    """One message as a page draws it.

    Draw `blocks` when there are any, else `text` (Slack's mrkdwn, `&<>` escaped, mentions as
    `<@U…>`, `<#C…>`, `<!subteam^S…>`, `<!here>`, links as `<url|label>`).

    Attributes:
        user: who wrote it; for the bot's messages the bot user.
        username: the name the bot asked to be shown instead of its own, else None.
        icon_emoji: e.g. `:robot_face:`, or None; `icon_url` likewise.
        thread_ts: the parent's `ts`; equal to `ts` on a parent with replies; None otherwise.
        reply_count: on parents only, else 0. `latest_reply` and `reply_users` belong to it.
        broadcast: a reply that is shown in the channel too.
        streaming: more of it is coming; updates arrive as `MessageChanged`.
        ephemeral: only this user sees it. It has no reactions, threads or files.
        edited_ts: when it was last edited by `chat.update`, else None.
        attachments: legacy attachments in Slack's shape, `text`/`fallback`/`color`/`blocks`.
        unfurl_links: what the sender asked for; None when unsaid.
    """

    channel: str
    ts: str
    user: str
    text: str
    username: str | None = None
    icon_emoji: str | None = None
    icon_url: str | None = None
    bot_id: str | None = None
    blocks: list[Json] = Field(default_factory=list)
    attachments: list[Json] = Field(default_factory=list)
    thread_ts: str | None = None
    reply_count: int = 0
    reply_users: list[str] = Field(default_factory=list)
    latest_reply: str | None = None
    broadcast: bool = False
    reactions: list[Reaction] = Field(default_factory=list)
    files: list[File] = Field(default_factory=list)
    streaming: bool = False
    ephemeral: bool = False
    pinned: bool = False
    edited_ts: str | None = None
    unfurl_links: bool | None = None
    unfurl_media: bool | None = None


class MessageList(Out):
    """Messages, oldest first; ephemeral ones of the asking user are sorted in by `ts`."""

    messages: list[Message]


class HomeView(Out):
    """The user's App Home view in Slack's shape (`blocks`, `id`, `hash`, …), or None so far."""

    view: Json | None
