"""The real models, for the benchmark that runs them."""

from __future__ import annotations

from tests.support.models import models_dir

__all__ = ["models_dir"]
