"""Functions that encode the first item of an inbox, or decode it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from typing import Any


def pickle_dumps(inbox: Sequence[Any]) -> bytes:
    """Return the first item of the inbox as a pickle, in the newest protocol.

    >>> pickle_loads([pickle_dumps([{1, 2}])])
    {1, 2}
    """
    return pickle.dumps(inbox[0], pickle.HIGHEST_PROTOCOL)


def pickle_loads(inbox: Sequence[Any]) -> Any:
    """Return what a pickle, the first item of the inbox, holds.

    A pickle can run any code when it is opened. Only open what a program of yours wrote, in a place that only you can
    write to: not what comes from a socket or from a file of other people.
    """
    return pickle.loads(inbox[0])


def json_dumps(inbox: Sequence[Any]) -> str:
    """Return the first item of the inbox as JSON text; TypeError if there is no JSON for it.

    >>> json_dumps([{"a": [1, None]}])
    '{"a": [1, null]}'
    """
    return json.dumps(inbox[0])


def json_loads(inbox: Sequence[Any]) -> Any:
    """Return what JSON text (or bytes), the first item of the inbox, says; ValueError if it is none.

    >>> json_loads(['{"a": [1, null]}'])
    {'a': [1, None]}
    """
    return json.loads(inbox[0])
