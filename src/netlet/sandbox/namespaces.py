"""Keep the code in a sandbox from creating user namespaces.

In a user namespace of its own, code has the rights of root over new mounts and networks, and many
faults of the kernel can only be reached from there. A filter on system calls (seccomp) refuses what
creates one, whatever program made the sandbox; it stays with all later children.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import sys
from typing import NamedTuple

_NEW_USER = 0x1000_0000  # CLONE_NEWUSER
_X32 = 0x4000_0000  # bit of the calls of another ABI of the same processor
_NO_NEW_PRIVILEGES, _SET_FILTER, _FILTER_MODE = 38, 22, 2  # of prctl
# Instructions of the filter: load a word, compare it, return a verdict.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE = 0x7FFF_0000, 0x0005_0000
_NUMBER, _PROCESSOR, _FLAGS = 0, 4, 16  # places in what the filter reads


class _Calls(NamedTuple):
    """The numbers of a processor and its system calls."""

    processor: int
    clone: int
    unshare: int
    clone3: int = 435


_CALLS = {
    "x86_64": _Calls(0xC000_003E, clone=56, unshare=272),
    "aarch64": _Calls(0xC000_00B7, clone=220, unshare=97),
}


class _Instruction(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    ]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("start", ctypes.POINTER(_Instruction))]


def forbid_user_namespaces() -> bool:
    """Forbid this process and its later children to create user namespaces.

    Returns:
        Whether it worked: not on other processors than x86-64 and ARM64, and not on a kernel
        without filters.
    """
    calls = _CALLS.get(platform.machine())
    if sys.platform != "linux" or calls is None:
        return False
    instructions = _write_filter(calls)
    program = _Program(len(instructions), (_Instruction * len(instructions))(*instructions))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_NO_NEW_PRIVILEGES, *(ctypes.c_ulong(value) for value in (1, 0, 0, 0))):
        return False
    return not prctl(_SET_FILTER, ctypes.c_ulong(_FILTER_MODE), ctypes.byref(program))


def _write_filter(calls: _Calls) -> list[_Instruction]:
    """Return the filter; jumps count the instructions that they skip."""
    refused = _Instruction(_RETURN, 0, 0, _REFUSE | errno.EPERM)
    # The flags of clone3 are in memory, which no filter can read: glibc falls back to clone.
    unknown = _Instruction(_RETURN, 0, 0, _REFUSE | errno.ENOSYS)
    return [
        _Instruction(_LOAD, 0, 0, _PROCESSOR),
        _Instruction(_EQUAL, 0, 9, calls.processor),
        _Instruction(_LOAD, 0, 0, _NUMBER),
        _Instruction(_AT_LEAST, 7, 0, _X32),
        _Instruction(_EQUAL, 7, 0, calls.clone3),
        _Instruction(_EQUAL, 2, 0, calls.unshare),
        _Instruction(_EQUAL, 1, 0, calls.clone),
        _Instruction(_RETURN, 0, 0, _ALLOW),
        _Instruction(_LOAD, 0, 0, _FLAGS),
        _Instruction(_ANY_BIT, 1, 0, _NEW_USER),
        _Instruction(_RETURN, 0, 0, _ALLOW),
        refused,
        unknown,
    ]
