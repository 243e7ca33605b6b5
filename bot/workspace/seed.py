"""What a new workspace starts with."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bot.workspace.records import BotRecord, ChannelRecord, GroupRecord, TeamRecord, UserRecord


class WorkspaceSeed(BaseModel):
    """Team, people, channels and groups of a new workspace; ignored when the file exists.

    Raises:
        pydantic.ValidationError: an id or a name is used twice, or a member does not exist.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    team: TeamRecord
    bot: BotRecord
    users: tuple[UserRecord, ...] = Field(min_length=1)
    channels: tuple[ChannelRecord, ...] = Field(min_length=1)
    groups: tuple[GroupRecord, ...] = ()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        people = [*self.users, self.bot.user]
        for what, values in (
            ("user id", [person.id for person in people]),
            ("handle", [p.name for p in people] + [group.handle for group in self.groups]),
            ("channel id", [channel.id for channel in self.channels]),
            ("channel name", [channel.name for channel in self.channels]),
            ("group id", [group.id for group in self.groups]),
        ):
            twice = {value for value in values if values.count(value) > 1}
            if twice:
                raise ValueError(f"{what} used twice: {', '.join(sorted(twice))}")
        known = {person.id for person in people}
        for owner, members in [(c.name, c.members) for c in self.channels] + [
            (g.handle, g.users) for g in self.groups
        ]:
            if missing := set(members) - known:
                raise ValueError(f"{owner} has unknown members: {', '.join(sorted(missing))}")
        return self


def default_seed() -> WorkspaceSeed:
    """Four people of an infrastructure team, the bot, three channels and three groups."""
    people = (
        ("U0ALICE", "alice", "Alice Moreau", "Platform engineer"),
        ("U0BOB", "bob", "Bob Tanaka", "On-call engineer"),
        ("U0CAROL", "carol", "Carol Osei", "SRE lead"),
        ("U0DAVE", "dave", "Dave Lindqvist", "Product engineer"),
    )
    users = tuple(
        UserRecord(id=id_, name=name, real_name=real, title=title, email=f"{name}@acme.example")
        for id_, name, real, title in people
    )
    bot = BotRecord(
        user=UserRecord(id="U0COUNTER", name="countersign", real_name="Countersign", is_bot=True),
        bot_id="B0COUNTER",
        app_id="A0COUNTER",
    )
    everyone = (*(user.id for user in users), bot.user.id)
    channels = (
        ("C0GENERAL", "general", "Company-wide announcements and chatter"),
        ("C0DEPLOYS", "deploys", "What goes to production, and when"),
        ("C0INCIDENTS", "incidents", "One thread an incident"),
    )
    return WorkspaceSeed(
        team=TeamRecord(id="T0ACME", name="Acme Infrastructure", domain="acme-infrastructure"),
        bot=bot,
        users=users,
        channels=tuple(
            ChannelRecord(id=id_, name=name, topic=topic, members=everyone, creator="U0ALICE")
            for id_, name, topic in channels
        ),
        groups=(
            GroupRecord(
                id="S0ENGINEERS",
                handle="engineers",
                name="Engineers",
                users=("U0ALICE", "U0BOB", "U0CAROL"),
            ),
            GroupRecord(id="S0ONCALL", handle="oncall", name="On call", users=("U0BOB", "U0CAROL")),
            GroupRecord(id="S0SRELEADS", handle="sre-leads", name="SRE leads", users=("U0CAROL",)),
        ),
    )
