"""What the first step of a run reads, entry by entry: what is in the queue, and what iterables have.

Both may block, and neither may hold the other back. So the thread of the map waits in the queue only. An iterable that may block is
read by a thread of its own, which wakes the first one by a mark in the queue. Iterables that never block are read at once, one
after the other. All others take turns with them and with each other: one that never ends must not keep the next one waiting.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from queue import Empty
from threading import Lock, get_ident
from time import monotonic
from typing import Any, Final

from papy._base.checks import counted
from papy._pipeline.input_queue import End, InputIterable, InputQueue, ShutDown, is_entry, log_left
from papy._pipeline.iterable_reader import ReaderTurns
from papy._stages.accounting import RunState, Throughput
from papy._stages.dead_letters import sourced
from papy._stages.entries import Entry, Meta

#: Iterables that may block are read by so many threads at once: a program that has more of them has short ones, mostly.
_READERS: Final = 32


class EntryReader:
    """An iterator over the numbered entries of an `InputQueue`, for one run and one thread.

    An iterable that may block is read by an `IterableReader`, as entries of the queue must not wait behind it, nor `stop`.

    Args:
        inputs: What to read.
        state: Where entries are counted.
        forever: Iterables that end don't end it.

    Attributes:
        turns: The readers of iterables that may block.
    """

    def __init__(self, inputs: InputQueue, state: RunState, forever: bool) -> None:
        self._inputs = inputs
        self._state = state
        self._forever = forever
        self.throughput = Throughput(state)
        #: Iterables that are read here, the first one at the time.
        self._direct: deque[InputIterable] = deque()
        self.turns = ReaderTurns(state, inputs.wake_before_end)
        #: So many entries may be read here before the others have their turn: as many as the one before had.
        self._own_turns = 1
        self._had_iterables = False
        self._ending = False
        #: Held by the thread in the queue. The end of the run waits for it: what is put for the next one is not to be taken.
        self.queue_lock = Lock()
        #: The thread in which an iterable is asked, while it is.
        self._asked_in = 0
        #: Since the queue was empty last, what had been read before has been taken.
        self._queue_first = False

    def __iter__(self) -> EntryReader:
        return self

    def __next__(self) -> Entry | Meta:
        state = self._state
        try:
            while state.reason is None and state.source_failure is None:
                found: Entry | Meta | None = self._from_taken() if self.turns.taken else self._find()
                if found is not None:
                    return found
        except StopIteration:
            pass
        except BaseException as error:
            # What was taken before goes on to the end.
            where = f"raised by the source of the pipeline after {counted(state.taken, 'entry', 'entries')}"
            state.source_failure = error, where
        self.turns.drop()  # one was made while the run ended, perhaps
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
        self.turns.drop()
        if self._inputs.waits:
            self._inputs.wake()
        if not self._inputs.foreign:  # else another reader of that queue may have taken what was to wake it
            self.queue_lock.acquire()
            self.queue_lock.release()

    def unread(self) -> int:
        """How many iterables have not been read to their end."""
        return len(self._direct) + len(self.turns) + len(self._inputs.unread)

    def drop(self) -> None:
        """Lets go of the iterables; when they are read no more."""
        self._direct.clear()
        self.turns.drop()

    def is_asked(self) -> bool:
        """Whether the reading thread of the map is in an iterable."""
        return self._asked_in != 0

    def is_held_up(self) -> bool:
        """Whether it is in one that may be endless."""
        return self._asked_in != 0 and not all(source.finite for source in list(self._direct)[:1])

    def is_asked_here(self) -> bool:
        """Whether the thread that asks is in an iterable."""
        return self._asked_in == get_ident() or self.turns.is_here()

    def _find(self) -> Entry | Meta | None:
        """An entry, or None to be asked again."""
        inputs = self._inputs
        while inputs.unread and len(self.turns) < _READERS:
            self._had_iterables = True
            self._begin(inputs.unread.popleft())
        if inputs.leave_at is not None and monotonic() >= inputs.leave_at:
            self._leave_endless()
        if self._direct or self.turns:
            return self._from_iterables() if self._is_their_turn() else self._get(block=False)
        if self._had_iterables and not self._ending and not self._forever:
            self._ending = inputs.finish_if_empty()
        return self._get(block=not self._ending)

    def _begin(self, source: InputIterable) -> None:
        """Has an iterable read by a thread of its own, if it may block."""
        if not (source.finite or self._inputs.alone):
            with suppress(RuntimeError):  # at its end the interpreter starts no thread
                self.turns.begin(source.entries)
                return
        self._direct.append(source)

    def _is_their_turn(self) -> bool:
        """Whether the iterables go before the queue: with what was read before that was put."""
        if self._inputs.is_empty():
            self._queue_first = False
            return True
        if self._queue_first:
            return False
        self._queue_first = True
        return self.turns.ready

    def _leave_endless(self) -> None:
        self._inputs.leave_at = None  # once is enough
        kept = deque(source for source in self._direct if source.finite)
        if self.turns.leave() or len(kept) < len(self._direct):
            log_left()
        self._direct = kept

    def _get(self, block: bool) -> Entry | Meta | None:
        inputs = self._inputs
        with self.queue_lock:
            inputs.waits = block
            try:
                # In this order: the end of the run gives the reason first, and then looks whether we wait.
                if self._state.reason is not None or (block and (self._may_begin() or self.turns.ready)):
                    return None
                found = inputs.get(block)
            except Empty:
                if self._direct or self.turns:
                    return None
                raise StopIteration from None
            except ShutDown:
                found = End
            finally:
                inputs.waits = False
            if found is End:
                self._ending = True
            return self._numbered(found) if is_entry(found) else None

    def _may_begin(self) -> bool:
        return bool(self._inputs.unread) and len(self.turns) < _READERS

    def _from_iterables(self) -> Entry | Meta | None:
        if not (self._direct and self._own_turns > 0) and self.turns.take():
            self._own_turns = len(self.turns.taken)
            return self._from_taken()
        if self._direct:
            self._own_turns -= 1
            return self._from_direct()
        if not self.turns:
            return None
        if not self._ending:
            return self._get(block=True)
        leave_at = self._inputs.leave_at
        self.turns.wait(None if leave_at is None else max(0.0, leave_at - monotonic()))
        return None

    def _from_direct(self) -> Entry | Meta | None:
        self._asked_in = get_ident()
        try:
            for entry in self._direct[0].entries:
                return self._numbered(entry)
        finally:
            self._asked_in = 0
        self._direct.popleft()
        return None

    def _from_taken(self) -> Entry | Meta | None:
        try:
            return self._numbered(self.turns.taken.popleft())
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
