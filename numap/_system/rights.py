"""With which rights this process acts: users, groups, capabilities, root directory, namespaces.

The process that forks workers lives on between maps, while the program may give up rights. A worker that it forks then must
not have more of them than the program has; so both are compared before.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from .processes import process_status

#: Bits of capabilities: to become any group or user, to change the root directory, and to enter other namespaces.
_SETGID, _SETUID, _CHROOT, _ADMIN = 1 << 6, 1 << 7, 1 << 18, 1 << 21
#: The namespaces that a process, or what it starts, can come to be in.
_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid_for_children", "time_for_children", "user", "uts")
#: _LINUX_CAPABILITY_VERSION_3, with two words of 32 bits for each set.
_VERSION = 0x20080522


class Rights(NamedTuple):
    """What this process may do, as far as the system tells.

    Attributes:
        users: real, effective and saved user.
        groups: real, effective and saved group, then all others.
        sets: the sets of capabilities, whether any can be gained, and the filters of system calls, as /proc shows them.
        root: the root directory.
        namespaces: by what /proc calls them.
    """

    users: tuple[int, ...]
    groups: tuple[int, ...]
    sets: bytes
    root: tuple[int, int]
    namespaces: tuple[str, ...]

    def capabilities(self, name: bytes = b"CapEff:") -> int:
        """A set of capabilities as a number; where the system has none, root has all."""
        found = self.sets.partition(name)[2].split(None, 1)
        return int(found[0], 16) if found else -(0 in self.users[1:2])

    def at_most(self, other: Rights) -> bool:
        """Whether this process may nothing that the other may not, or could not allow itself. When in doubt: no."""
        can = other.capabilities()
        return (
            not self.capabilities() & ~can
            and (set(self.users) <= set(other.users) or bool(can & _SETUID))
            and (set(self.groups) <= set(other.groups) or bool(can & _SETGID))
            and (self.root == other.root or bool(can & _CHROOT))
            and (self.namespaces == other.namespaces or bool(can & _ADMIN))
        )


def rights() -> Rights:
    """Those of this process now; some 50 microseconds.

    Raises:
        OSError: there is no descriptor left to read them.
    """
    if not hasattr(os, "getuid"):
        return Rights((), (), b"", (0, 0), ())
    users = os.getresuid() if hasattr(os, "getresuid") else (os.getuid(), os.geteuid())
    groups = os.getresgid() if hasattr(os, "getresgid") else (os.getgid(), os.getegid())
    status, root = process_status(), os.stat("/")
    sets = status[status.find(b"CapInh:") : status.find(b"\nCpus_allowed:")]
    return Rights(users, (*groups, *sorted(os.getgroups())), sets, (root.st_dev, root.st_ino), namespaces())


def namespaces() -> tuple[str, ...]:
    """Those that what this process starts will be in; an empty name: there is none, or not yet.

    Raises:
        OSError: there is no descriptor left to read it. To take that for none would be to take the program for another one.
    """
    try:
        folder = os.open("/proc/self/ns", os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return ()
    try:
        return tuple([_link(name, folder) for name in _NAMESPACES])
    finally:
        os.close(folder)


def _link(name: str, folder: int) -> str:
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:
        return ""


def capabilities_to_keep() -> tuple[int, int, int]:
    """The effective, permitted and inheritable capabilities, for `give_up_others` in a program that this one starts."""
    own = rights()
    return own.capabilities(), own.capabilities(b"CapPrm:"), own.capabilities(b"CapInh:")


def give_up_others(keep: tuple[int, int, int]) -> None:
    """Gives up the capabilities that root got back when this program was started, though what started it had given them up.

    Raises:
        OSError: that is not possible.
    """
    own = capabilities_to_keep()
    if not any(mine & ~theirs for mine, theirs in zip(own[:2], keep[:2], strict=True)):
        return
    import ctypes

    permitted = own[1] & keep[1]
    sets = own[0] & keep[0] & permitted, permitted, own[2] & keep[2]
    words = [bits >> shift & 0xFFFFFFFF for shift in (0, 32) for bits in sets]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset((ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)(*words)):
        raise OSError(ctypes.get_errno(), "capabilities that the program has given up can't be given up here")
