"""The one exception tree of Countersign.

Every message is written for the person who reads it at night: what happened, and how to mend it.
"""


class CountersignError(Exception):
    """The root: everything that Countersign raises on purpose is one of these."""


class ConfigurationError(CountersignError):
    """A setting or a configuration file is wrong; the message names it and the mend."""


class NotAllowedError(CountersignError):
    """The person may not do this; the message says which rule says so."""


class NotFoundError(CountersignError):
    """Nothing of that name exists; the message lists what does."""


class InvalidRequestError(CountersignError):
    """What was asked cannot be done as it was asked; the message says what to change."""
