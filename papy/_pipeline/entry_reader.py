"""What the first step of a run reads, entry by entry: what is in the queue, and what iterables have.

Both may block, and neither may hold the other back. So the thread of the map waits in the queue only. An iterable that may block is
read by a thread of its own, which wakes the first one by a mark in the queue. Iterables that never block are read at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty
from threading import Lock, get_ident
from time import monotonic
from typing import Any

from papy._base.checks import counted
from papy._pipeline.input_queue import End, InputIterable, InputQueue, ShutDown, is_entry, log_left
from papy._pipeline.iterable_reader import IterableReader
from papy._stages.accounting import RunState, Throughput
from papy._stages.dead_letters import sourced
from papy._stages.entries import Entry, Meta


class EntryReader:
    """An iterator over the numbered entries of an `InputQueue`, for one run and one thread.

    An iterable that may block is read by an `IterableReader`, as entries of the queue must not wait behind it, nor `stop`.

    Args:
        inputs: What to read.
        state: Where entries are counted.
        forever: Iterables that end don't end it.

    Attributes:
        room: How many entries, of so many bytes each, more than it has given out may be in the run.
    """

    def __init__(self, inputs: InputQueue, state: RunState, forever: bool) -> None:
        self._inputs = inputs
        self._state = state
        self._forever = forever
        self.throughput = Throughput(state)
        self._iterables: deque[InputIterable] = deque()
        self._had_iterables = False
        self._ending = False
        #: Held by the thread in the queue. The end of the run waits for it: what is put for the next one is not to be taken.
        self.queue_lock = Lock()
        #: The thread in which an iterable is asked, while it is.
        self._asked_in = 0
        #: Reads the first of the iterables, if that may block.
        self._reader: IterableReader | None = None
        #: What it has read.
        self._taken: deque[Any] = deque()
        #: Since the queue was empty last, what had been read before has been taken.
        self._queue_first = False
        self.room: Callable[[int], int] = lambda _: 0

    def __iter__(self) -> EntryReader:
        return self

    def __next__(self) -> Entry | Meta:
        state = self._state
        try:
            while state.reason is None:
                found: Entry | Meta | None = self._from_taken() if self._taken else self._find()
                if found is not None:
                    return found
        except StopIteration:
            pass
        except BaseException as error:
            state.fail(
                error,
                f"raised by the source of the pipeline after {counted(state.taken, 'entry', 'entries')}",
                entries=0,
            )
        self._drop_reader()  # made while the run ended, perhaps
        raise StopIteration

    @property
    def passed(self) -> int:
        """See `Upstream`."""
        return self._state.taken

    @property
    def at_end(self) -> bool:
        """Whether it has come to the end of the input."""
        return self._ending

    def leave(self) -> None:
        """Has the reader leave the queue, as the run has ended."""
        self._drop_reader()
        if self._inputs.waits:
            self._inputs.wake()
        if not self._inputs.foreign:  # else another reader of that queue may have taken what was to wake it
            self.queue_lock.acquire()
            self.queue_lock.release()

    def unread(self) -> int:
        """How many iterables have not been read to their end."""
        return len(self._iterables) + len(self._inputs.unread)

    def drop(self) -> None:
        """Lets go of the iterables; when they are read no more."""
        self._iterables.clear()
        self._drop_reader()

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.drop()
            self._state.abort(self._taken)

    def is_asked(self) -> bool:
        """Whether the reading thread of the map is in an iterable."""
        return self._asked_in != 0

    def is_held_up(self) -> bool:
        """Whether it is in one that may be endless."""
        return self._asked_in != 0 and not all(source.finite for source in list(self._iterables)[:1])

    def is_asked_here(self) -> bool:
        """Whether the thread that asks is in an iterable."""
        reader = self._reader
        return self._asked_in == get_ident() or (reader is not None and reader.is_here())

    def _find(self) -> Entry | Meta | None:
        """An entry, or None to be asked again."""
        inputs = self._inputs
        if inputs.unread:
            self._had_iterables = True
            while inputs.unread:
                self._iterables.append(inputs.unread.popleft())
        if inputs.leave_at is not None and monotonic() >= inputs.leave_at:
            self._leave_endless()
        if self._iterables:
            return self._from_iterables() if self._is_their_turn() else self._get(block=False)
        if self._had_iterables and not self._ending and not self._forever:
            self._ending = inputs.finish_if_empty()
        return self._get(block=not self._ending)

    def _is_their_turn(self) -> bool:
        """Whether the iterables go before the queue: with what was read before that was put."""
        if self._inputs.is_empty():
            self._queue_first = False
            return True
        if self._queue_first:
            return False
        self._queue_first = True
        return self._has_read()

    def _leave_endless(self) -> None:
        self._inputs.leave_at = None  # once is enough
        kept = deque(source for source in self._iterables if source.finite)
        if len(kept) < len(self._iterables):
            log_left()
        if self._reader is not None:
            self._reader.leave()
            kept.appendleft(self._iterables[0])  # until what was read of it is through
        self._iterables = kept

    def _get(self, block: bool) -> Entry | Meta | None:
        inputs = self._inputs
        with self.queue_lock:
            inputs.waits = block
            try:
                # In this order: the end of the run gives the reason first, and then looks whether we wait.
                if self._state.reason is not None or (block and (inputs.unread or self._has_read())):
                    return None
                found = inputs.get(block)
            except Empty:
                if self._iterables:
                    return None
                raise StopIteration from None
            except ShutDown:
                found = End
            finally:
                inputs.waits = False
            if found is End:
                self._ending = True
            return self._numbered(found) if is_entry(found) else None

    def _from_iterables(self) -> Entry | Meta | None:
        source = self._iterables[0]
        if self._reader is None and (source.finite or self._inputs.alone or not self._start_reader(source)):
            return self._from_iterable(source)
        return self._from_reader()

    def _from_iterable(self, source: InputIterable) -> Entry | Meta | None:
        self._asked_in = get_ident()
        try:
            for entry in source.entries:
                return self._numbered(entry)
        finally:
            self._asked_in = 0
        self._iterables.popleft()
        return None

    def _start_reader(self, source: InputIterable) -> bool:
        """Has an iterable read by a thread of its own; False: the interpreter ends, and starts no thread."""
        reader = IterableReader(
            source.entries, self._state, lambda size: self.room(size) - len(self._taken), self._inputs.wake_before_end
        )
        with suppress(RuntimeError):
            reader.start()
            self._reader = reader
        return self._reader is not None

    def _has_read(self) -> bool:
        return self._reader is not None and self._reader.ready

    def _from_reader(self) -> Entry | Meta | None:
        reader, taken = self._reader, self._taken
        assert reader is not None, "its iterable is the first one"
        try:
            reader.take(taken)
        except StopIteration:
            self._reader = None
            self._iterables.popleft()
            return None
        if taken:
            return self._from_taken()
        if not self._ending:
            return self._get(block=True)
        leave_at = self._inputs.leave_at
        # The end of the run gives the reason first, and then looks for a reader.
        if self._state.reason is None:
            reader.wait(None if leave_at is None else max(0.0, leave_at - monotonic()))
        return None

    def _from_taken(self) -> Entry | Meta | None:
        try:
            return self._numbered(self._taken.popleft())
        except IndexError:  # the run has ended, and its end has taken them
            return None

    def _numbered(self, found: Any) -> Entry | Meta | None:
        state = self._state
        if state.reason is not None:
            state.came_late()
            return None
        if self.throughput.wanted:
            self.throughput.add((0, found))
        number = state.taken
        state.taken = number + 1
        if type(found) is Meta:
            return found
        return sourced(number, ((number, found),)) if state.keeps_sources else number, found
