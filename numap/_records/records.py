"""Records: small objects that travel together, each with a pickle of its own, and are opened in one call.

Two items must not share an object, so each is pickled for itself, and to open a pickle takes a call and a set-up that cost as
much as what is in it. The pickles here are written in protocol 3, in which each says by number where it keeps an object that
it refers to again: behind each other, in one pickle of a list, a later one overwrites what an earlier one kept, and refers to
nothing but its own. (In protocols 4 and 5 these numbers are counted by the reader, from the first on.)

Names (classes, mostly) would be looked up again for each record. They are *agreed* instead: they come first, once for all the
records behind them, and these refer to them by number.
"""

from __future__ import annotations

import pickle
from array import array
from typing import Any

#: What begins a pickle. The number only says how names are looked up: in protocol 4 and later they may have dots.
_BEGIN = b"\x80\x05"
_MARK = b"("
_LIST = b"l."
_STOP = b"."
#: Bytes of the length of a pickle in a list of these.
_LENGTH = array("I").itemsize
#: Of the pickle of one object in protocol 3: what is before it and behind it.
BEFORE, BEHIND = 2, -1

#: Opcodes that leave agreed objects in the memo of the reader, one for each: that with place n has the number n there.
Names = tuple[bytes, ...]


def body_of(raw: bytes) -> bytes:
    """What goes among others of a pickle in protocol 3."""
    return raw[BEFORE:BEHIND]


def alone(names: Names, body: bytes) -> bytes:
    """The pickle of one record."""
    return b"".join((_BEGIN, *names, body, _STOP))


def put(code: bytes, number: int) -> bytes:
    """Opcodes that leave the object of these ones in the memo, under a number."""
    return b"%bq%c0" % (code, number)


def reads(number: int) -> bytes:
    """The opcode that fetches an agreed object."""
    return b"h%c" % number


class Records:
    """Neighbouring records.

    Args:
        names: what they refer to.
        bodies: of their pickles.
        joined: instead of these, what `wire` has made of them.
    """

    __slots__ = ("_bodies", "_joined", "_lengths", "names")

    def __init__(
        self, names: Names, bodies: list[bytes] | None, joined: bytes | memoryview = b"", lengths: bytes = b""
    ) -> None:
        self.names = names
        self._bodies = bodies
        self._joined = joined
        self._lengths = lengths

    def __len__(self) -> int:
        """How many they are."""
        return len(self.bodies) if self._bodies is not None else len(self._lengths) // _LENGTH

    @property
    def bodies(self) -> list[bytes]:
        """The pickles without what begins and ends them."""
        found = self._bodies
        if found is None:
            found, place = [], len(_MARK)
            for length in memoryview(self._lengths).cast("I"):
                found.append(bytes(self._joined[place : place + length]))
                place += length
            self._bodies = found
        return found

    @property
    def nbytes(self) -> int:
        """Bytes of the pickles."""
        return len(self._joined) if self._bodies is None else sum(map(len, self._bodies))

    def cut(self, start: int, stop: int) -> Records:
        """Those of the places ``start`` to ``stop``."""
        return Records(self.names, self.bodies[start:stop])

    def pickles(self) -> list[bytes]:
        """Each as a pickle of its own."""
        return [alone(self.names, body) for body in self.bodies]

    def values(self, known: Names | None = None) -> list[Any]:
        """New objects, all of them; raises what opening one raises.

        Args:
            known: those of the names that the records may refer to; None: all.
        """
        names = self.names if known is None else known
        return pickle.loads(b"".join((_BEGIN, *names, self._together)))  # type: ignore[no-any-return]

    def refers_to(self, number: int) -> bool:
        """Whether a record perhaps refers to the agreed object of that number: there are bytes that look like it."""
        return reads(number) in bytes(self._together)

    @property
    def _together(self) -> bytes | memoryview:
        return self._joined or b"".join((_MARK, *self.bodies, _LIST))

    def wire(self) -> tuple[Names, bytes | memoryview, bytes]:
        """For another process."""
        return self.names, self._together, self._lengths or array("I", map(len, self.bodies)).tobytes()

    @classmethod
    def of_wire(cls, wire: tuple[Names, bytes | memoryview, bytes]) -> Records:
        """What another process has sent."""
        names, joined, lengths = wire
        return cls(names, None, joined, lengths)
