"""The fast lane: which tests take so long that they are for the end of the work. Measured, and kept in one file.

What a test takes can't be told from its code, and a marker that was right once stays there for ever. So `make durations` runs
all tests, and writes down those over a limit; these have the marker ``slow``. A test that is newer than the file is in the fast
lane, until the next measurement or with a marker of its own.

A fast test that takes a multiple of the limit fails: by the processor time of its own process, as the time on the clock is
also that of whatever else the machine does.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

#: What was measured.
RECORD = Path(__file__).with_name("slow.json")
#: Seconds on the clock, with all that is around a test, from which on it is slow.
LIMIT = 0.1
#: Seconds of processor time that a fast test may take: the first one that needs a library also imports it.
MOST = 3.0
#: The number of fast tests that were collected, before any was deselected.
COLLECTED = pytest.StashKey[int]()


def recorded() -> dict[str, Any]:
    """What the file holds: ``slow``, by file the tests by name with their parameters, None for all of them; and figures."""
    found: dict[str, Any] = json.loads(RECORD.read_text())
    return found


def parts(nodeid: str) -> tuple[str, str, str]:
    """The file, the test and the parameters in the id of a test."""
    file, _, rest = nodeid.partition("::")
    name, _, parameters = rest.partition("[")
    return file, name, parameters.removesuffix("]")


class Lanes:
    """The plugin that marks slow tests, and has the fast ones be fast, if it is to ``check`` that."""

    def __init__(self, check: bool = True) -> None:
        self._slow: dict[str, dict[str, list[str] | None]] = recorded()["slow"] if RECORD.exists() else {}
        self._check = check

    def _is_slow(self, nodeid: str) -> bool:
        file, name, parameters = parts(nodeid)
        tests = self._slow.get(file, {})
        if name not in tests:
            return False
        known = tests[name]
        return known is None or parameters in known

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        for item in items:
            if self._is_slow(item.nodeid):
                item.add_marker(pytest.mark.slow)
        config.stash[COLLECTED] = sum(item.get_closest_marker("slow") is None for item in items)

    @pytest.fixture(autouse=True)
    def short(self, request: pytest.FixtureRequest) -> Iterator[None]:
        """Fail a fast test that is none."""
        before = time.process_time()
        yield
        taken = time.process_time() - before
        if self._check and taken > MOST and request.node.get_closest_marker("slow") is None:
            pytest.fail(
                f"took {taken:.1f} s of processor time: no test for the fast lane, see tests/lanes.py", pytrace=False
            )


class Recorder:
    """The plugin that measures all tests and writes the file."""

    def __init__(self) -> None:
        self._seconds: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] += report.duration

    def pytest_sessionfinish(self) -> None:
        tests: dict[str, dict[str, dict[str, float]]] = {}
        for nodeid, seconds in sorted(self._seconds.items()):
            file, name, parameters = parts(nodeid)
            tests.setdefault(file, {}).setdefault(name, {})[parameters] = seconds
        slow: dict[str, dict[str, list[str] | None]] = {}
        for file, names in tests.items():
            for name, found in names.items():
                over = [parameters for parameters, seconds in found.items() if seconds >= LIMIT]
                if over:
                    slow.setdefault(file, {})[name] = None if len(over) == len(found) else over
        fast = {nodeid: seconds for nodeid, seconds in self._seconds.items() if seconds < LIMIT}
        folders = Counter(str(Path(parts(nodeid)[0]).parent) for nodeid in fast)
        record = {
            "all tests": len(self._seconds),
            "all seconds": round(sum(self._seconds.values()), 1),
            "fast tests": len(fast),
            "fast seconds": round(sum(fast.values()), 1),
            "fast tests by folder": dict(sorted(folders.items())),
            "slow": slow,
        }
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
