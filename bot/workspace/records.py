"""What the workspace remembers, one model for each kind of record."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Json = dict[str, Any]


class Record(BaseModel):
    """A stored value; a change is a new value (`model_copy`) that is stored again."""

    model_config = ConfigDict(frozen=True)


class TeamRecord(Record):
    """The workspace itself."""

    id: str
    name: str
    domain: str


class UserRecord(Record):
    """A person or the bot; `is_bot` is true for the bot alone."""

    id: str = Field(pattern=r"^U[A-Z0-9]{1,20}$")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,79}$")
    real_name: str
    title: str = ""
    email: str = ""
    tz: str = "UTC"
    is_bot: bool = False


class BotRecord(Record):
    """The app that the bot is: its user and the ids that Slack would give it."""

    user: UserRecord
    bot_id: str
    app_id: str


class GroupRecord(Record):
    """A user group, mentioned as `@handle`."""

    id: str = Field(pattern=r"^S[A-Z0-9]{1,20}$")
    handle: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,79}$")
    name: str
    users: tuple[str, ...]


class ChannelRecord(Record):
    """A channel, a direct message (`is_im`: one person and the bot) or a group one (`is_mpim`)."""

    id: str = Field(pattern=r"^[CDG][A-Z0-9]{1,20}$")
    name: str = ""
    is_im: bool = False
    is_mpim: bool = False
    is_private: bool = False
    members: tuple[str, ...] = ()
    topic: str = ""
    creator: str = ""
    created: int = 0


class ReactionRecord(Record):
    """An emoji on a message and who put it there, in that order."""

    name: str
    users: tuple[str, ...]


class MarkdownPart(Record):
    """Streamed Markdown."""

    kind: Literal["markdown"] = "markdown"
    text: str


class TaskPart(Record):
    """One task of a plan, as last updated."""

    kind: Literal["task"] = "task"
    id: str
    title: str
    status: Literal["pending", "in_progress", "complete", "error"]
    details: str | None = None
    output: str | None = None
    sources: tuple[Json, ...] = ()


class BlocksPart(Record):
    """Blocks that were put into the stream."""

    kind: Literal["blocks"] = "blocks"
    blocks: tuple[Json, ...]


StreamPart = Annotated[MarkdownPart | TaskPart | BlocksPart, Field(discriminator="kind")]


class StreamState(Record):
    """A streamed message: its parts in order; `open` until it is stopped, by whom ever."""

    mode: Literal["timeline", "plan"] = "timeline"
    plan_title: str = ""
    parts: tuple[StreamPart, ...] = ()
    open: bool = True
    opened_at: float


class MessageRecord(Record):
    """One message, ephemeral ones (`for_user` set) included.

    Attributes:
        thread_ts: the parent's `ts` on replies; None on top-level messages.
        metadata: `{event_type, event_payload}` as posted by the bot.
        files: ids.
        tombstone: deleted, kept because it has replies.
    """

    channel: str
    ts: str
    user: str
    text: str
    for_user: str | None = None
    bot_id: str | None = None
    username: str | None = None
    icon_emoji: str | None = None
    icon_url: str | None = None
    blocks: tuple[Json, ...] = ()
    attachments: tuple[Json, ...] = ()
    thread_ts: str | None = None
    broadcast: bool = False
    metadata: Json | None = None
    reactions: tuple[ReactionRecord, ...] = ()
    files: tuple[str, ...] = ()
    edited_ts: str | None = None
    unfurl_links: bool | None = None
    unfurl_media: bool | None = None
    unfurls: Json | None = None
    pinned: bool = False
    tombstone: bool = False
    client_msg_id: str | None = None
    stream: StreamState | None = None


class FileRecord(Record):
    """A file; its bytes lie in the folder beside the storage file, named by `id`.

    Attributes:
        length: what was announced; `size` what came, None until the upload ended.
        shared: `completeUploadExternal` was called.
    """

    id: str
    name: str
    title: str
    mimetype: str
    length: int
    size: int | None = None
    alt_txt: str = ""
    shared: bool = False
    channels: tuple[str, ...] = ()
    created: int = 0


class ModalsRecord(Record):
    """A user's open modals, bottom first, each in Slack's shape."""

    user: str
    stack: tuple[Json, ...] = ()


class HomeRecord(Record):
    """A user's App Home as last published."""

    user: str
    view: Json


class ThreadRecord(Record):
    """What the bot says about one thread; `status_at` is when `status` was set (seconds)."""

    channel: str
    thread_ts: str
    status: str = ""
    loading_messages: tuple[str, ...] = ()
    status_at: float = 0.0
    session: Literal["processing", "active", "suspended", "closed"] | None = None
    title: str = ""


class PromptsRecord(Record):
    """Suggested prompts of a thread, or of a whole direct message."""

    channel: str
    thread_ts: str | None = None
    title: str = ""
    prompts: tuple[dict[str, str], ...] = ()


class HookRecord(Record):
    """A `response_url`: where its answers go, how often it may still be used, and until when."""

    key: str
    channel: str
    user: str
    message_ts: str | None = None
    thread_ts: str | None = None
    uses_left: int = 5
    expires_at: float


class ScheduledRecord(Record):
    """A message that `chat.scheduleMessage` will post; `arguments` are those of the call."""

    id: str
    channel: str
    post_at: int
    arguments: Json


class FunctionRecord(Record):
    """One execution of a custom workflow function and what came of it."""

    id: str
    callback_id: str
    inputs: Json
    state: Literal["running", "success", "error"] = "running"
    outputs: Json | None = None
    error: str | None = None


class SecretsRecord(Record):
    """Tokens that were made at the first start, so that they stay the same at the next."""

    bot_token: str
    app_token: str
    signing_secret: str
    verification_token: str
    client_id: str
    client_secret: str
