"""Items in an SQLite database: what travels is a small handle."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from numap.interop import checks
from papy._base.checks import LONGEST_POLL, check_path, check_seconds

if TYPE_CHECKING:
    from sqlite3 import Connection


class DbHandle(NamedTuple):
    """Where an item is: the file of the database, the table, and the number of the row."""

    database: str
    table: str
    row: int


def dump_db_item(
    inbox: Sequence[Any], database: str | os.PathLike[str], table: str = "papy_items", timeout: float = 60.0
) -> DbHandle:
    """Store the first item of the inbox in an SQLite database, and return a handle for `load_db_item`.

    Any number of workers can store into one database; they wait for each other. When this returns, the item is stored
    for good.

    Args:
        inbox: The item: bytes, a string, an integer of 64 bits, a float that is not nan, or None. For others, as True and False,
            use `pickle_dumps` or `json_dumps`.
        database: The path of the file, which is made if it is missing.
        table: The name of a table, which is made if it is missing: ``id INTEGER PRIMARY KEY, item``.
        timeout: Seconds to wait for others that write.

    Raises:
        TypeError: If the item is of another kind, or a string that is no text (with half a surrogate pair).
        sqlite3.Error: If it can't be stored.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as directory:
    ...     handle = dump_db_item(["text"], directory + "/items.db")
    ...     load_db_item([handle], remove=True)
    'text'
    """
    item = inbox[0]
    # SQLite would make 1 of True, and None of nan.
    if item is not None and (
        not isinstance(item, (bytes, bytearray, str, int, float)) or item is True or item is False
    ):
        raise _unfit(item)
    if isinstance(item, float) and math.isnan(item):
        raise _unfit(item)
    check_path("database", database)
    if not isinstance(table, str):
        raise checks.wrong_type("table", "a string", table)
    check_seconds("timeout", timeout, or_none=False)
    name = os.path.abspath(database)
    with _connected(name, timeout, write=True) as connection:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {_quoted(table)} (id INTEGER PRIMARY KEY AUTOINCREMENT, item)")
        try:
            row = connection.execute(f"INSERT INTO {_quoted(table)} (item) VALUES (?)", (item,)).lastrowid
        except (OverflowError, UnicodeEncodeError) as error:
            raise _unfit(item) from error
    assert row is not None
    return DbHandle(name, table, row)


def load_db_item(inbox: Sequence[Any], remove: bool = False, timeout: float = 60.0) -> Any:
    """Return the item that a handle of `dump_db_item`, the first item of the inbox, stands for.

    Args:
        inbox: The handle.
        remove: Remove the item from the database.
        timeout: Seconds to wait for others that write.

    Raises:
        TypeError: If it is no such handle.
        LookupError: If there is no such item (any more).
        sqlite3.Error: If the database can't be read.
    """
    handle = inbox[0]
    check_seconds("timeout", timeout, or_none=False)
    if not isinstance(handle, DbHandle):
        raise checks.wrong_type("the item", "a handle of dump_db_item", handle)
    if not os.path.exists(handle.database):
        raise LookupError(f"there is no database {handle.database}")
    table = _quoted(handle.table)
    with _connected(handle.database, timeout, write=remove) as connection:
        found = connection.execute(f"SELECT item FROM {table} WHERE id = ?", (handle.row,)).fetchone()
        if found is None:
            raise LookupError(f"there is no item {handle.row} in table {handle.table} of {handle.database}")
        if remove:
            connection.execute(f"DELETE FROM {table} WHERE id = ?", (handle.row,))
    return found[0]


@contextmanager
def _connected(name: str, timeout: float, *, write: bool) -> Iterator[Connection]:
    """A connection with one transaction, which is committed at an orderly end and undone otherwise."""
    import sqlite3

    with closing(sqlite3.connect(name, timeout=min(timeout, LONGEST_POLL))) as connection, connection:
        # A transaction that begins as a reader and then becomes a writer is refused if another one was quicker.
        connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        yield connection


def _unfit(item: Any) -> TypeError:
    needed = "bytes, text, an integer of 64 bits, a float that is not nan, or None"
    return TypeError(f"{checks.wrong_type('the item', needed, item)}; pickle_dumps and json_dumps make some")


def _quoted(table: str) -> str:
    return '"' + table.replace('"', '""') + '"'
