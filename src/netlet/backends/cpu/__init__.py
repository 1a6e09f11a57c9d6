"""C code compiled for one net and machine: training steps, evaluation and augmentation."""

from netlet.backends.cpu.augmentation import CompiledAugmentation
from netlet.backends.cpu.compiled_step import CompiledStep
from netlet.backends.cpu.errors import CompilationError

__all__ = ["CompilationError", "CompiledAugmentation", "CompiledStep"]
