"""In which order things that need each other are made.

An object that two globals hold has to be one object in a worker, too, so the pickle of one refers to the other. Two that hold
each other can't both be made first; then one of them has a copy.
"""

from __future__ import annotations

from collections.abc import Collection

from .identities import Key


class DependencyCycle(Exception):
    """Definitions that need each other; one of them has to hold its own copy of what the other one stands for."""

    def __init__(self, user: Key, used: Key) -> None:
        super().__init__(f"{user} needs {used}, and that needs it")
        self.user = user
        self.used = used


class DependencyGraph:
    """Which definition is needed to make which other one. Functions and classes can be made before what they hold, data can't."""

    def __init__(self) -> None:
        #: For each definition those that it needs, and whether they are data.
        self._needs: dict[Key, dict[Key, bool]] = {}
        self._copied: set[tuple[Key, Key]] = set()

    def data(self, user: Key, used: Key) -> bool:
        """Notes that a definition needs data; False: it would need itself then, and must have a copy."""
        if (user, used) in self._copied or self._path(used, user) is not None:
            return False
        self._needs.setdefault(user, {})[used] = True
        return True

    def code(self, user: Key, used: Key) -> None:
        """Notes that a definition needs a function or class.

        Raises:
            DependencyCycle: that needs data that need it.
        """
        for step in self._path(used, user) or ():
            if self._needs[step[0]][step[1]]:
                raise DependencyCycle(*step)
        self._needs.setdefault(user, {}).setdefault(used, False)

    def copy(self, cycle: DependencyCycle) -> None:
        """From now on that definition has a copy."""
        self._copied.add((cycle.user, cycle.used))

    def forget(self, users: Collection[Key]) -> None:
        """These are to be defined again."""
        for user in users:
            self._needs.pop(user, None)

    def _path(self, start: Key, goal: Key) -> list[tuple[Key, Key]] | None:
        """The steps from one definition to another one that it needs, in any number of steps; None: it does not."""
        paths: list[tuple[Key, list[tuple[Key, Key]]]] = [(start, [])]
        seen = {start}
        while paths:
            key, steps = paths.pop()
            if key == goal:
                return steps
            for used in self._needs.get(key, ()):
                if used not in seen:
                    seen.add(used)
                    paths.append((used, [*steps, (key, used)]))
        return None
