"""`python -m bot.workspace`."""

from __future__ import annotations

import sys

from bot.workspace.main import main

sys.exit(main())
