"""The Slack app's manifest, from the names that the code uses.

Schema: https://docs.slack.dev/reference/app-manifest.
"""

from __future__ import annotations

import io
from itertools import zip_longest
from typing import Any

from ruamel.yaml import YAML

from bot import names
from bot.transport import PATH
from core.settings import Settings
from core.state import ApplicationState

SCOPES = {
    "apps.connections.open": None,  # the app-level token's connections:write
    "agents.sessions.setStatus": "chat:write",
    "assistant.threads.setStatus": "chat:write",
    "assistant.threads.setSuggestedPrompts": "assistant:write",
    "auth.test": None,
    "chat.appendStream": "chat:write",
    "chat.getPermalink": None,
    "chat.postEphemeral": "chat:write",
    "chat.postMessage": "chat:write",
    "chat.startStream": "chat:write",
    "chat.stopStream": "chat:write",
    "chat.update": "chat:write",
    "conversations.history": "channels:history",
    "conversations.info": "channels:read",
    "conversations.list": "channels:read",
    "conversations.open": "im:write",
    "conversations.replies": "channels:history",
    "files.completeUploadExternal": "files:write",
    "files.getUploadURLExternal": "files:write",
    "usergroups.list": "usergroups:read",
    "usergroups.users.list": "usergroups:read",
    "users.info": "users:read",
    "views.open": None,
    "views.publish": None,
}
"""The scope that each Web API method needs which the bot calls; a test compares with the code."""

_EVENTS = {
    "agent_session_stopped": ("agent_session_stopped",),
    "app_home_opened": ("app_home_opened",),
    "app_mention": ("app_mention",),
    "message": ("message.channels", "message.im"),
}
_EVENT_SCOPES = {
    "app_mention": "app_mentions:read",
    "message.channels": "channels:history",
    "message.im": "im:history",
}


def manifest(settings: Settings, state: ApplicationState, socket_mode: bool) -> dict[str, Any]:
    """The manifest as JSON.

    Args:
        socket_mode: otherwise Slack calls `public_url` (or a placeholder to be replaced).
    """
    base = (settings.public_url or "https://REPLACE-ME.example").rstrip("/")
    url = {} if socket_mode else {"url": base + PATH}
    events = [event for name in names.EVENTS for event in _EVENTS[name]]
    scopes = {scope for scope in SCOPES.values() if scope}
    scopes |= {_EVENT_SCOPES[event] for event in events if event in _EVENT_SCOPES}
    by_assistant = [assistant.suggested_prompts for assistant in state.assistants.values()]
    prompts = [
        {"title": prompt[:60], "message": prompt}
        for round_ in zip_longest(*by_assistant)  # the first of each, then the second of each
        for prompt in round_
        if prompt
    ]
    agent_view: dict[str, Any] = {
        "agent_description": "Answers from your runbooks, on models that your team runs itself."
    }
    if prompts:
        agent_view["suggested_prompts"] = prompts[:4]
    request_url = {} if socket_mode else {"request_url": base + PATH}
    return {
        "display_information": {
            "name": "Countersign",
            "description": "AI assistants on your own models; workflows that run once signed.",
            "background_color": "#1d3a4c",
        },
        "features": {
            "agent_view": agent_view,
            "app_home": {
                "home_tab_enabled": True,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": False,
            },
            "bot_user": {"display_name": "countersign", "always_online": True},
            "slash_commands": [
                {
                    "command": settings.command,
                    "description": "Run, countersign and ask",
                    "usage_hint": "help | ask | run | runs | approve | deny | workflows",
                    "should_escape": True,
                    **url,
                }
            ],
        },
        "oauth_config": {"scopes": {"bot": sorted(scopes | {"commands"})}},
        "settings": {
            "event_subscriptions": {"bot_events": sorted(events), **request_url},
            "interactivity": {"is_enabled": True, **request_url},
            "org_deploy_enabled": False,
            "socket_mode_enabled": socket_mode,
            "token_rotation_enabled": False,
        },
    }


def manifest_yaml(settings: Settings, state: ApplicationState, socket_mode: bool) -> str:
    """The manifest as YAML, to be pasted where Slack makes an app from one."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = io.StringIO()
    yaml.dump(manifest(settings, state, socket_mode), out)
    return out.getvalue()
