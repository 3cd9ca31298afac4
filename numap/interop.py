"""For libraries that are built on maps, as papy is: what a map and an object from outside can tell each other.

Programs that only use maps need none of this. A library has objects of its own in places where a map expects plain ones:
a callable as a task, an iterator over tasks as an input, an exception as the outcome of an item. Such an object may have
methods that a map looks for. Each is optional, and is looked for at the class, as Python looks for special methods.

    ``__numap_label__``     of a callable: see `Labelled`
    ``__numap_retries__``   of a callable: see `Retried`
    ``__numap_detach__``    of an iterator: see `Detachable`
    ``__numap_placed__``    of an exception: see `Placed`
    ``__numap_reduce__``    of any object: see `Reducible`
    ``__numap_library__``   of a package: True, and its modules are imported once for all workers of a program wherever they lie, as
                            those of installed packages are; what they do when they are imported is meant to be done once

The rest is what a library needs as maps do, to speak with one voice and not to do it again:

    maps and tasks           `detach`, `is_detachable`, `keep_order`, `share_bytes`
    exceptions that travel   `surviving_form`, `rebuilt`, `add_note`, `places_of`
    their tracebacks         `lines_of`, `from_outside`, `without_ours`, `RemoteTraceback`
    arguments, lives, names  ``checks`` and ``options`` (modules), `StateTable`, `public_in`
    pictures                 `Drawn`, ``picture`` (a module)
    progress                 `follow`, `Look`, `Row`
    waits with a limit       `timed`

>>> from numap import IMap
>>> from numap.interop import is_detachable
>>> is_detachable(IMap(worker_type="serial").add_task(str, [1, 2])), is_detachable(iter([1, 2]))
(True, False)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ._base import checks
from ._base import option_table as options
from ._base.detaching import detach, is_detachable
from ._base.errors import RemoteTraceback
from ._base.lifecycle import StateTable
from ._base.public import public_in
from ._draw import picture
from ._draw.drawn import Drawn
from ._items.exceptions import (
    AS_CAUSE,
    AS_CONTEXT,
    Copied,
    Place,
    add_note,
    lines_of,
    places_of,
    rebuilt,
    surviving_form,
    without_ours,
)
from ._progress.rows import Look, Row
from ._sync.timed_queue import timed
from ._system.interruptions import from_outside

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._imap import IMap
    from ._progress.follower import Follower
    from ._task import TaskIterator

__all__ = [
    "AS_CAUSE",
    "AS_CONTEXT",
    "Copied",
    "Detachable",
    "Drawn",
    "Labelled",
    "Look",
    "Place",
    "Placed",
    "Reducible",
    "RemoteTraceback",
    "Retried",
    "Row",
    "StateTable",
    "add_note",
    "checks",
    "detach",
    "follow",
    "from_outside",
    "is_detachable",
    "keep_order",
    "lines_of",
    "options",
    "picture",
    "places_of",
    "public_in",
    "rebuilt",
    "share_bytes",
    "surviving_form",
    "timed",
    "without_ours",
]


class Labelled(Protocol):
    """A callable with a name for messages; of others the name is their ``__qualname__``, or that of their class."""

    @property
    def __numap_label__(self) -> str:
        """The name."""


class Retried(Protocol):
    """A callable that says itself how often an item is run again when it fails, whatever ``retries`` of the map says."""

    @property
    def __numap_retries__(self) -> int:
        """How often."""


class Detachable(Protocol):
    """An iterator that reads tasks of maps, and is an input of a map itself.

    A task keeps its map alive. If it is read as part of an input of the same map, that would be a circle: nothing could drop
    the map any more.
    """

    def __numap_detach__(self, owner: object) -> None:
        """Map ``owner`` has started, and reads this: passed on by `detach` to all that this reads."""


class Placed(Protocol):
    """An exception that says itself where it happened: no note about task and item is added to it."""

    @property
    def __numap_placed__(self) -> bool:
        """Whether it does."""


class Reducible(Protocol):
    """An object that a map pickles in another way than pickle: a map sends code, too, where pickle gives up."""

    def __numap_reduce__(self, copied: Copied) -> Any:
        """As ``__reduce__``. What survives the way to another process, ``copied`` tells."""


def keep_order(task: TaskIterator[Any]) -> None:
    """The results of a task come in the order of its items, though its map is unordered, as for a `numap.join`.

    Raises:
        StateError: the map is unordered, and started.
    """
    task._claim_order()


def share_bytes(imap: IMap[Any], maps: int) -> None:
    """The map is one of so many that share the room of one, where its ``buffer_bytes`` is automatic; before it starts."""
    imap._options = imap._options._replace(sharing=maps)


def follow(look: Callable[[], Look], progress: Any) -> Follower | None:
    """Begins to show how far something is, in a thread of its own, until its ``end()`` is called.

    Args:
        look: tells the figures of the moment.
        progress: as of a map: True, a title, a bar; None or False: nothing is shown, and None is returned.
    """
    if progress is None or progress is False:
        return None
    from ._progress import follower

    return follower.follow(look, progress)
