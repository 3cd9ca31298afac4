"""The definitions that workers are given: with an object go all that it needs, or none of them.

To pickle an object finds names. Each of them has to be defined, which may find others, and at the end of such a chain there may
be something that can't be sent. Then the object fails, and none of what was found for it may count as known: a later object
that needs the same would be sent without it. So what is found is kept apart until all of it is there.
"""

from __future__ import annotations

import types
from typing import NamedTuple

from .._transport.messages import Definition
from .identities import Key


class Mark(NamedTuple):
    """How far a transaction was; see `DefinitionLog.undo`."""

    added: int
    wanted: int
    made: int


class DefinitionLog:
    """Definitions in the order in which they were found.

    Attributes:
        meant: what names stood for when they were defined.
        sent: all that are complete. It only grows: a worker that knows the first n needs the rest.
    """

    def __init__(self) -> None:
        self.sent: list[Definition] = []
        self.meant: dict[Key, object] = {}
        #: Names that workers have or will have, and what refers to each.
        self._users: dict[Key, str] = {}
        self._added: list[Key] = []
        self._wanted: list[tuple[types.ModuleType, str]] = []
        self._made: list[Definition] = []

    def __contains__(self, key: Key) -> bool:
        return key in self._users

    def user_of(self, key: Key) -> str:
        """What refers to a name."""
        return self._users[key]

    # ------------------------------------------------------------------ one object

    def begin(self) -> None:
        """Another object, with what it needs."""
        self._added, self._wanted, self._made = [], [], []

    def add(self, key: Key, user: str = "") -> None:
        """A name counts as known from now on."""
        self._users[key] = user
        self._added.append(key)

    def want(self, module: types.ModuleType, name: str, user: str) -> None:
        """A name has to be defined, if it is not known."""
        key = (module.__name__, name)
        if key not in self._users:
            self.add(key, user)
            self._wanted.append((module, name))

    def next_wanted(self) -> tuple[types.ModuleType, str] | None:
        """A name that is still to be defined."""
        return self._wanted.pop() if self._wanted else None

    def make(self, definition: Definition, value: object = None) -> None:
        """A name is defined, which stands for this value."""
        self.meant[definition.module, definition.name] = value
        self._made.append(definition)

    def commit(self) -> None:
        """The object can be sent."""
        self.sent.extend(self._made)

    def roll_back(self) -> list[Key]:
        """It can't; returns the names that are unknown again."""
        for key in self._added:
            self._users.pop(key, None)
        return self._added

    def mark(self) -> Mark:
        """This moment, for `undo`."""
        return Mark(len(self._added), len(self._wanted), len(self._made))

    def undo(self, mark: Mark) -> None:
        """Forgets what was found since then: it is done without."""
        for key in self._added[mark.added :]:
            self._users.pop(key, None)
        del self._added[mark.added :]
        del self._wanted[mark.wanted :]
        del self._made[mark.made :]
