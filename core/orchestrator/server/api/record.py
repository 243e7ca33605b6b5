"""What is noted of one request while it is answered, for the metrics."""

from __future__ import annotations

import time

from aiohttp import web

NO_MODEL = ""
"""Of a request that named none of ours: what it named instead would be labels without end."""


class Record:
    """What is noted of one request while it is answered.

    Attributes:
        model: name of the model, once it is known to be one of ours.
        outcome: why the reply ended, or the code of the error.
        prompt_tokens: read, of which `cached_tokens` were known already.
        generated_tokens: written, whether the reply was finished or not.
        texts: asked to be embedded, of which `cached_texts` were known already.
    """

    def __init__(self) -> None:
        self.model = NO_MODEL
        self.outcome = "ok"
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.generated_tokens = 0
        self.texts = 0
        self.cached_texts = 0
        self.began = time.monotonic()
        self.first_token_s: float | None = None

    def token(self) -> None:
        """Note that there is a token; the first counts."""
        if self.first_token_s is None:
            self.first_token_s = time.monotonic() - self.began


RECORD = web.RequestKey("record", Record)
