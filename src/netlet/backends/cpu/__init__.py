"""What is compiled for the very net and machine, and gives what PyTorch gives, sooner."""

from netlet.backends.cpu.augmentation import CompiledAugmentation
from netlet.backends.cpu.compiled_step import CompiledStep
from netlet.backends.cpu.library import CompilationError

__all__ = ["CompilationError", "CompiledAugmentation", "CompiledStep"]
