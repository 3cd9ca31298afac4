"""Helpers for tests of maps and of code that uses them: facts in place of times, scripts in place of luck.

`Gate` tells a test that a function has arrived in an item, and holds it there until the test lets it go.
`ScriptedEngine` stands in for the workers of a map: which item ends when, and which worker dies, the test dictates.
"""

from __future__ import annotations

from .gate import Gate, Visitor
from .scripted import Running, ScriptedEngine, Submission

__all__ = ["Gate", "Running", "ScriptedEngine", "Submission", "Visitor"]

# Where users find them, in errors and documents as in pickles.
for _thing in (Gate, Running, ScriptedEngine, Submission, Visitor):
    _thing.__module__ = __name__
