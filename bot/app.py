"""Builds the Bolt app: listeners on one side, the worker's handler on the other."""

from __future__ import annotations

from slack_bolt.async_app import AsyncApp

from bot.handlers.forms import Forms
from bot.handlers.intake import Intake
from bot.handlers.listeners import Listeners
from bot.services import BotServices


def build_bot(services: BotServices) -> AsyncApp:
    """The app, with every listener registered; `bot.handlers.work.SlackWork` does their work.

    Requests over HTTP are verified with the signing secret; in Socket Mode there is none to set.
    """
    secret = services.settings.slack_signing_secret
    app = AsyncApp(
        client=services.client,
        signing_secret=secret.get_secret_value() if secret else None,
        process_before_response=True,  # an acknowledgement means that it is in the database
        attaching_conversation_kwargs_enabled=False,  # threads and statuses are handlers' work
    )
    intake = Intake(services.inbox)
    forms = Forms(services, intake)
    Listeners(intake, forms, services.settings.command).register(app)
    return app
