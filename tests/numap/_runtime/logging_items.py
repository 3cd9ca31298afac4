"""Functions that log, in a module that a worker process imports in no time."""

from __future__ import annotations

import logging
import os
from typing import Any

LOG = logging.getLogger("numap.test.logging")


def tell(x: Any, text: str = "item %s", level: int = logging.INFO, **extra: Any) -> tuple[Any, int]:
    LOG.log(level, text, x, extra=extra)
    return x, os.getpid()


def fail_and_log(x: Any) -> None:
    try:
        raise KeyError("the reason")
    except KeyError:
        LOG.exception("failed with %s", x)
