"""Views: each user's stack of modals, and each user's App Home."""

from __future__ import annotations

import secrets
import time

from bot.workspace.block_check import checked_view
from bot.workspace.directory import Directory
from bot.workspace.errors import MethodError
from bot.workspace.ids import new_id
from bot.workspace.live import LiveHub
from bot.workspace.protocol import HomePublished, ViewClosed, ViewOpened, ViewUpdated
from bot.workspace.records import HomeRecord, Json, ModalsRecord
from bot.workspace.storage import Storage

_STACK_LIMIT = 3
_FROM_BOT = ("type", "blocks", "private_metadata", "callback_id", "external_id", "title", "submit",
             "close", "clear_on_close", "notify_on_close")  # fmt: skip


class Modals:
    """Opens, changes and closes views, and shows them on the user's pages."""

    def __init__(self, storage: Storage, directory: Directory, live: LiveHub) -> None:
        self._storage = storage
        self._directory = directory
        self._live = live
        self._stacks = {
            user: record.stack for user, record in storage.all("modals", ModalsRecord).items()
        }
        self._homes = {
            user: record.view for user, record in storage.all("home", HomeRecord).items()
        }

    # --- reading ---

    def stack(self, user: str) -> tuple[Json, ...]:
        """The user's open modals, bottom first."""
        return self._stacks.get(user, ())

    def home(self, user: str) -> Json | None:
        """The user's App Home as last published."""
        return self._homes.get(user)

    def find(self, user: str, view_id: str) -> Json | None:
        """An open modal or the home view of this user."""
        home = self.home(user)
        views = [*self.stack(user), *([home] if home else [])]
        return next((view for view in views if view["id"] == view_id), None)

    # --- what the bot asks for ---

    def open(self, user: str, view: Json) -> Json:
        """Opens a modal in place of what is open.

        Raises:
            MethodError: what `checked_view` raises, or `duplicate_external_id`.
        """
        fresh = self._fresh(view)
        self.drop(user)
        self._store(user, (fresh,))
        self._live.publish(ViewOpened(view=fresh), [user])
        return fresh

    def push(self, user: str, view: Json) -> Json:
        """Puts a modal on top of the open ones.

        Raises:
            MethodError: also `push_limit_reached`, and `not_found` when none is open.
        """
        stack = self.stack(user)
        if not stack:
            raise MethodError("not_found")
        if len(stack) >= _STACK_LIMIT:
            raise MethodError("push_limit_reached")
        fresh = self._fresh(view) | {
            "root_view_id": stack[0]["id"],
            "previous_view_id": stack[-1]["id"],
        }
        self._store(user, (*stack, fresh))
        self._live.publish(ViewOpened(view=fresh), [user])
        return fresh

    def update(
        self, view: Json, *, view_id: str | None, external_id: str | None, hash_: str | None
    ) -> Json:
        """Replaces the content of an open modal or a home view.

        Raises:
            MethodError: also `not_found` and `hash_conflict`.
        """
        for user in list(self._stacks):
            for old in self.stack(user):
                if old["id"] == view_id or (external_id and old["external_id"] == external_id):
                    return self.replace(user, old, view, hash_)
        for user, home in self._homes.items():
            if home["id"] == view_id:
                return self.publish(user, view, hash_)
        raise MethodError("not_found")

    def replace(self, user: str, old: Json, view: Json, hash_: str | None = None) -> Json:
        """Replaces the content of this modal of this user; its id stays.

        Raises:
            MethodError: as `update`.
        """
        if hash_ and hash_ != old["hash"]:
            raise MethodError("hash_conflict")
        fresh = self._fresh(view, instead_of=old) | {
            key: old[key] for key in ("id", "root_view_id", "previous_view_id")
        }
        self._store(user, tuple(fresh if v["id"] == old["id"] else v for v in self.stack(user)))
        self._live.publish(ViewUpdated(view=fresh), [user])
        return fresh

    def publish(self, user: str, view: Json, hash_: str | None) -> Json:
        """Publishes a user's App Home.

        Raises:
            MethodError: what `checked_view` raises, or `hash_conflict`.
        """
        old = self._homes.get(user)
        if hash_ and old is not None and hash_ != old["hash"]:
            raise MethodError("hash_conflict")
        fresh = self._complete(checked_view(view, "home"))
        if old is not None:
            fresh |= {"id": old["id"], "root_view_id": old["id"]}
        self._homes[user] = fresh
        self._storage.put("home", user, HomeRecord(user=user, view=fresh))
        self._live.publish(HomePublished(view=fresh), [user])
        return fresh

    # --- what people do ---

    def with_state(self, user: str, view: Json, values: Json) -> Json:
        """Remembers what was typed into a view and returns it with that state."""
        fresh = {**view, "state": {"values": values}}
        if view["type"] == "home":
            self._homes[user] = fresh
            self._storage.put("home", user, HomeRecord(user=user, view=fresh))
        else:
            self._store(
                user, tuple(fresh if v["id"] == view["id"] else v for v in self.stack(user))
            )
        return fresh

    def pop(self, user: str, view_id: str) -> list[Json]:
        """Closes a modal and those above it; returns the closed ones, top first."""
        stack = self.stack(user)
        index = next((i for i, view in enumerate(stack) if view["id"] == view_id), None)
        if index is None:
            return []
        return self._close(user, stack[:index], stack[index:])

    def drop(self, user: str) -> list[Json]:
        """Closes all modals of a user; returns them, top first."""
        return self._close(user, (), self.stack(user))

    def _close(self, user: str, left: tuple[Json, ...], gone: tuple[Json, ...]) -> list[Json]:
        if not gone:
            return []
        self._store(user, left)
        closed = list(reversed(gone))
        for view in closed:
            self._live.publish(ViewClosed(view_id=view["id"]), [user])
        return closed

    def _store(self, user: str, stack: tuple[Json, ...]) -> None:
        self._stacks[user] = stack
        self._storage.put("modals", user, ModalsRecord(user=user, stack=stack))

    def _fresh(self, view: Json, instead_of: Json | None = None) -> Json:
        fresh = self._complete(checked_view(view, "modal"))
        external = fresh["external_id"]
        if external and any(
            other["external_id"] == external and other is not instead_of
            for stack in self._stacks.values()
            for other in stack
        ):
            raise MethodError("duplicate_external_id")
        if instead_of is not None:
            # What was typed stays in the inputs whose block and action ids stay the same.
            kept = {block["block_id"] for block in fresh["blocks"]}
            values = instead_of["state"]["values"]
            fresh["state"] = {"values": {k: v for k, v in values.items() if k in kept}}
        return fresh

    def _complete(self, view: Json) -> Json:
        id_ = new_id("V")
        return {
            "title": None,
            "submit": None,
            "close": None,
            "private_metadata": "",
            "callback_id": "",
            "external_id": "",
            "clear_on_close": False,
            "notify_on_close": False,
            **{key: view[key] for key in _FROM_BOT if view.get(key) is not None},
            "id": id_,
            "root_view_id": id_,
            "previous_view_id": None,
            "team_id": self._directory.team.id,
            "app_installed_team_id": self._directory.team.id,
            "app_id": self._directory.bot.app_id,
            "bot_id": self._directory.bot.bot_id,
            "state": {"values": {}},
            "hash": f"{int(time.time())}.{secrets.token_hex(4)}",
        }
