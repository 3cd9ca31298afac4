"""A loop over pipes written for one purpose, without features: what the machine gives."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

Function = Callable[[Any], Any]


def _serve(connection: Connection, functions: list[Function]) -> None:
    while True:
        items = connection.recv()
        if items is None:
            os._exit(0)
        for function in functions:
            items = list(map(function, items))
        connection.send(items)


def _fork(functions: list[Function], others: list[Connection]) -> Connection:
    ours, theirs = Pipe()
    if os.fork() == 0:
        for connection in (ours, *others):
            connection.close()
        try:
            _serve(theirs, functions)
        finally:
            os._exit(1)
    theirs.close()
    return ours


def hand_map(functions: list[Function], items: Iterable[Any], chunk: int, ahead: int, ordered: bool) -> Iterator[Any]:
    """Chunks go to two workers, ``ahead`` of them to each before the first has come back."""
    connections: list[Connection] = []
    for _ in range(2):
        connections.append(_fork(functions, connections))
    source = iter(items)
    held: dict[Connection, deque[int]] = {connection: deque() for connection in connections}
    sent = given = 0
    early: dict[int, list[Any]] = {}

    def feed(connection: Connection) -> None:
        nonlocal sent
        piece = list(islice(source, chunk))
        if piece:
            connection.send(piece)
            held[connection].append(sent)
            sent += 1

    for _ in range(ahead):
        for connection in connections:
            feed(connection)
    while any(held.values()):
        for connection in wait([it for it, numbers in held.items() if numbers]):
            assert isinstance(connection, Connection)
            results = connection.recv()
            number = held[connection].popleft()
            feed(connection)
            if not ordered:
                yield from results
                continue
            early[number] = results
            while given in early:
                yield from early.pop(given)
                given += 1
    for connection in connections:
        connection.send(None)
        connection.close()
    for _ in connections:
        os.wait()
