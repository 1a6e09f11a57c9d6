"""The processors that an exported C program can be built, run and measured for."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from netlet.errors import ExportError
from netlet.text import escape_controls

_ARM = "gcc-arm-none-eabi libnewlib-arm-none-eabi"
_RISCV = "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf"


@dataclass(frozen=True)
class Target:
    """A processor without an operating system, and a board with it that QEMU emulates."""

    name: str
    about: str
    prefix: str  # of the commands of its compiler and binutils
    flags: tuple[str, ...]  # which processor, for compiler and linker
    library: str  # the compiler's option for the C library
    system: str  # its startup code and linker script: files of board/
    emulator: tuple[str, ...]  # the command of QEMU
    board: str  # what QEMU emulates, for messages
    has_fpu: bool
    packages: str  # Debian's, with compiler and C library
    emulator_package: str  # Debian's

    @property
    def compiler(self) -> str:
        """The command of its compiler."""
        return f"{self.prefix}gcc"


_CORTEX_M = {
    "prefix": "arm-none-eabi-",
    "library": "--specs=nano.specs",
    "system": "cortex_m",
    "packages": _ARM,
    "emulator_package": "qemu-system-arm",
}


def _cortex_m(
    name: str, about: str, flags: str, machine: str, board: str, *, has_fpu: bool
) -> Target:
    return Target(
        name=name,
        about=about,
        flags=(*flags.split(), "-mthumb"),
        emulator=("qemu-system-arm", "-M", machine),
        board=board,
        has_fpu=has_fpu,
        **_CORTEX_M,
    )


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        # QEMU has no board with a Cortex-M0+ and enough memory. Its code (ARMv6-M) is a subset of
        # what a Cortex-M3 executes.
        _cortex_m(
            "cortex-m0plus",
            "Cortex-M0+, such as RP2040 and SAMD21",
            "-mcpu=cortex-m0plus",
            "mps2-an385",
            "mps2-an385, a Cortex-M3",
            has_fpu=False,
        ),
        _cortex_m(
            "cortex-m3",
            "Cortex-M3, such as STM32F1",
            "-mcpu=cortex-m3",
            "mps2-an385",
            "mps2-an385, a Cortex-M3",
            has_fpu=False,
        ),
        _cortex_m(
            "cortex-m4",
            "Cortex-M4 with FPU, such as nRF52 and STM32F4",
            "-mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16",
            "mps2-an386",
            "mps2-an386, a Cortex-M4",
            has_fpu=True,
        ),
        _cortex_m(
            "cortex-m7",
            "Cortex-M7 with FPU, such as STM32F7 and i.MX RT1060",
            "-mcpu=cortex-m7 -mfloat-abi=hard -mfpu=fpv5-sp-d16",
            "mps2-an500",
            "mps2-an500, a Cortex-M7",
            has_fpu=True,
        ),
        Target(
            name="riscv32",
            about="RISC-V RV32IMC without FPU, such as ESP32-C3",
            prefix="riscv64-unknown-elf-",
            flags=("-march=rv32imc", "-mabi=ilp32", "-mcmodel=medany"),
            library="--specs=picolibc.specs",
            system="riscv",
            emulator=("qemu-system-riscv32", "-M", "virt", "-bios", "none"),
            board="virt, an RV32",
            has_fpu=False,
            packages=_RISCV,
            emulator_package="qemu-system-misc",
        ),
    )
}


def find_target(name: str) -> Target:
    """Return a target whose compiler is on this machine.

    Args:
        name: A key of ``TARGETS``.

    Raises:
        ExportError: There is no such target, or no compiler for it.
    """
    if name not in TARGETS:
        raise ExportError(
            f"no target '{escape_controls(name)}'; choose one of {', '.join(TARGETS)}"
        )
    target = TARGETS[name]
    if shutil.which(target.compiler) is None:
        raise ExportError(
            f"{name} needs {target.compiler}, which was not found; install it (on Debian and "
            f"Ubuntu, apt-get install {target.packages}), or leave out --target (target in Python)"
        )
    return target
