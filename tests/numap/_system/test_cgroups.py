"""Guarantee 53: what control groups allow, from files as both of their versions have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from numap import IMap
from numap._system import processes as _platform
from numap._system.cgroups import cpu_quota, free_memory


class Groups:
    """A tree of control groups in a folder, and the file that says where in it a process is."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "groups"
        self.root.mkdir()
        self._own = folder / "own"
        self.belongs("0::/\n")

    def belongs(self, lines: str) -> None:
        self._own.write_text(lines)

    def has(self, path: str, **files: str) -> None:
        group = self.root / path
        group.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (group / name.replace("__", ".")).write_text(text + "\n")

    @property
    def places(self) -> tuple[str, str]:
        return str(self.root), str(self._own)


@pytest.fixture
def groups(tmp_path: Path) -> Groups:
    return Groups(tmp_path)


def test_53_nothing_is_limited(groups: Groups, tmp_path: Path) -> None:
    assert cpu_quota(*groups.places) is free_memory(*groups.places) is None
    groups.has("", cpu__max="max 100000", memory__max="max", memory__current="1000")
    assert cpu_quota(*groups.places) is free_memory(*groups.places) is None
    assert cpu_quota(groups.places[0], str(tmp_path / "nothing there")) is None


@pytest.mark.parametrize(
    ("text", "cpus"), [("200000 100000", 2), ("150000 100000", 2), ("1000 100000", 1), ("50000 10000", 5)]
)
def test_53_a_quota_in_whole_cpus(groups: Groups, text: str, cpus: int) -> None:
    groups.has("", cpu__max=text)
    assert cpu_quota(*groups.places) == cpus


def test_53_the_least_of_all_groups_around_counts(groups: Groups) -> None:
    groups.belongs("0::/outer/middle/inner\n")
    groups.has("outer/middle/inner", cpu__max="800000 100000", memory__max="5000", memory__current="1000")
    groups.has("outer/middle", cpu__max="max 100000", memory__max="4500", memory__current="3000")
    groups.has("outer", cpu__max="300000 100000", memory__max="max", memory__current="3000")
    assert cpu_quota(*groups.places) == 3
    assert free_memory(*groups.places) == 1500


def test_53_a_path_of_the_host_that_is_not_there(groups: Groups) -> None:
    groups.belongs("0::/host/docker/1234\n")
    groups.has("", cpu__max="100000 100000", memory__max="10", memory__current="20")
    assert cpu_quota(*groups.places) == 1
    assert free_memory(*groups.places) == 0


def test_53_the_first_version_with_a_tree_for_each_controller(groups: Groups) -> None:
    groups.belongs("4:memory:/box\n2:cpu,cpuacct:/box\n1:name=systemd:/\n0::/\n")
    groups.has("cpu,cpuacct/box", cpu__cfs_quota_us="250000", cpu__cfs_period_us="100000")
    groups.has("cpu,cpuacct", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    groups.has("memory/box", memory__limit_in_bytes="700", memory__usage_in_bytes="300")
    assert cpu_quota(*groups.places) == 3
    assert free_memory(*groups.places) == 400


def test_53_so_many_workers_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_platform, "cpu_quota", lambda: 1)
    assert IMap().statistics().workers == 1
    assert IMap(worker_type="thread").statistics().workers == 5
    assert IMap(worker_num=3).statistics().workers == 3
