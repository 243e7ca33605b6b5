"""From stored deliveries to events."""

from __future__ import annotations

import logging

from core.errors import CountersignError, NotFoundError
from core.inbox import Delivery
from core.records import Event
from integrations.registry import Integrations
from integrations.webhooks import ARRIVAL, MalformedDeliveryError

SOURCE_PREFIX = "webhook:"

_log = logging.getLogger(__name__)


class UnreadableDeliveryError(CountersignError):
    """A stored delivery cannot become events; it stays stored, and trying again as things are
    would end the same way."""


def source_of(integration_id: str) -> str:
    """The inbox's `source` of what is posted to `/webhooks/<integration_id>`."""
    return SOURCE_PREFIX + integration_id


def events_of(delivery: Delivery, integrations: Integrations) -> list[Event]:
    """What a delivery from the intake says. Pure: the same delivery gives the same events.

    Raises:
        UnreadableDeliveryError: its integration is gone or cannot read it; the message says why
            and what to do.
    """
    integration_id = delivery.source.removeprefix(SOURCE_PREFIX)
    try:
        integration = integrations.get(integration_id)
    except NotFoundError as error:
        raise UnreadableDeliveryError(
            f"The delivery {delivery.key} is for an integration that is gone: {error} "
            f"Put integrations/{integration_id}.yaml back, restart, and replay it."
        ) from error
    if integration.webhook is None:
        raise UnreadableDeliveryError(
            f"The delivery {delivery.key} is for '{integration_id}', which takes no webhooks any "
            f"more: give integrations/{integration_id}.yaml its webhook secret, restart, and "
            "replay it."
        )
    try:
        events = integration.webhook.normalise(delivery.headers, delivery.body)
    except MalformedDeliveryError as error:
        raise UnreadableDeliveryError(
            f"The delivery {delivery.key} does not fit integrations/{integration_id}.yaml, of the "
            f"kind '{integration.kind}': {str(error).rstrip('.')}."
        ) from error
    events = [
        event.model_copy(update={"occurred_at": delivery.received_at})
        if event.occurred_at == ARRIVAL
        else event
        for event in events
    ]
    kinds = ", ".join(event.kind for event in events) or "nothing of interest"
    _log.info("webhook %s: delivery %s says %s", integration_id, delivery.key, kinds)
    return events
