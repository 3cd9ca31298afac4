"""How a map is kept from keeping itself alive, where it reads its own tasks by way of other streams.

A task keeps its map alive, and a map keeps its inputs. So a stream that is an input of the map whose tasks it reads would close
a circle: nothing could drop the map any more, and its workers would stay. Once the map has started, it has them let go.
"""

from __future__ import annotations


def detach(stream: object, owner: object) -> None:
    """Whatever a stream is made of lets go of the map ``owner``, whose own input the stream is.

    A stream from elsewhere that reads tasks can take part: it has ``__numap_detach__`` and passes this on.
    """
    let_go = getattr(stream, "__numap_detach__", None)
    if let_go is not None:
        let_go(owner)


def is_detachable(stream: object) -> bool:
    """Whether an iterator reads tasks: it is one, a `join`, a branch of `tee`, or has ``__numap_detach__`` for its own reason."""
    return hasattr(stream, "__numap_detach__")
