"""From which template the workers of a map are to be forked; see `numap._worker.template`.

The caller keeps no process and no descriptor of a template: its starter has them. It only numbers what it asks for, so that the
starter knows again what it has. A template that exists is taken where little is missing in it, and nothing too much.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from ..._environment.process_state import for_imports
from ..._modules.library_imports import WORTH, LibraryImports, Needs
from ..._modules.used_code import UsedCode
from ..._system.processes import LINUX
from ..._transport.messages import Imported
from ..._worker.template import TemplateRequest

#: Requests that are known again, those that were made last.
_MOST = 32


class NumberedRequest(NamedTuple):
    """A request, and the number under which the starter knows it."""

    number: int
    request: TemplateRequest


class TemplateWish:
    """What one map wants of a template. It may change while the map runs, as its workers tell what they import.

    Args:
        used: the code of the map.
        preload: modules that the program asked for.
        environment: tells that of the map, see `process_state.environment`; only asked where a template is of use.
    """

    def __init__(self, used: UsedCode, preload: tuple[str, ...], environment: Callable[[], dict[str, Any]]) -> None:
        self._used = used
        self._preload = preload
        self._environment = environment
        #: As long as no worker has told anything new.
        self._made: tuple[NumberedRequest | None] | None = None

    def learn(self, told: Imported) -> None:
        """A worker has told what it imported."""
        with _lock:
            _imports.learn(self._used, told)
        self._made = None

    def request(self) -> NumberedRequest | None:
        """What to ask for now; None: workers of the starter itself will do."""
        if self._made is None:
            with _lock:
                self._made = (self._make(),)
        return self._made[0]

    def _make(self) -> NumberedRequest | None:
        needs = _imports.needs(self._used)
        if needs is None and not self._preload:
            return None
        names, variables = needs or Needs({}, {})
        wanted = {**dict.fromkeys(self._preload), **names}
        environment = self._environment()
        known = for_imports(environment), environment["settings"]
        return _numbered(TemplateRequest(wanted, self._preload, variables, *known))


def _numbered(wanted: TemplateRequest) -> NumberedRequest:
    fitting = [it for it in _requests if _serves(it.request, wanted)]
    if fitting:
        found = max(fitting, key=lambda it: len(it.request.names))
        _requests.remove(found)
    else:
        global _count
        _count += 1
        found = NumberedRequest(_count, wanted)
    _requests.append(found)
    del _requests[:-_MOST]
    return found


def _serves(made: TemplateRequest, wanted: TemplateRequest) -> bool:
    """Whether a template that was asked for before is right for this one, too."""
    missing = wanted.names.keys() - made.names.keys()
    return (
        len(missing) < WORTH
        and missing.isdisjoint(wanted.preload)
        and made.names.keys() <= wanted.names.keys()
        and made.environment == wanted.environment
        # A change that it did not know of shows whose imports these were.
        and wanted.variables.items() <= made.variables.items()
    )


_imports = LibraryImports()
_requests: list[NumberedRequest] = []
_count = 0
_lock = threading.Lock()


def has_templates(method: str) -> bool:
    """Whether workers that are started by this method come from templates, where that helps."""
    return method == "forkserver" and LINUX


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
