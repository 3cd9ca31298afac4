"""The reading side of records, in a process that may not have looked up their names yet.

To look up a name may import a module, which takes long, may fail, and may even kill the process. That is the matter of the first
item that needs it. So records whose names are not all known are opened one by one.
"""

from __future__ import annotations

import pickle
from typing import Any

from .records import Names, Records, alone, reads


class RecordReader:
    """Opens records, and remembers which names could be looked up."""

    def __init__(self) -> None:
        self._known: set[bytes] = set()

    def values(self, records: Records) -> list[Any] | None:
        """All objects of records; None: they have to be opened one by one."""
        names, known = records.names, self._known
        if not known.issuperset(names):
            if any(records.refers_to(number) for number, code in enumerate(names) if code not in known):
                return None
            names = tuple(code for code in names if code in known)
        try:
            return records.values(names)
        except Exception:  # one of them; which one it was, is found out where they are opened one by one
            return None

    def open(self, names: Names, body: bytes) -> Any:
        """The object of one record; raises what opening it raises."""
        needed = {number for number in range(len(names)) if reads(number) in body}
        if any(names[number] not in self._known for number in needed):
            # Bytes may only look like a reference, and to look up a name that no item needs may do any harm.
            needed = _numbers(body)
        found = tuple(code for number, code in enumerate(names) if number in needed)
        value = pickle.loads(alone(found, body))
        self._known.update(found)
        return value


def _numbers(body: bytes) -> set[int]:
    """What a record fetches from the memo."""
    import pickletools

    return {arg for opcode, arg, _ in pickletools.genops(body + b".") if opcode.name == "BINGET" and arg is not None}
