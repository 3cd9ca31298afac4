"""The public names of papy are imported when they are asked for; their doctests are found when they are there."""

from __future__ import annotations

import papy

for name in papy.__all__:
    getattr(papy, name)
