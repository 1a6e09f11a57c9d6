"""What is compiled for the very net and machine, and gives what PyTorch gives, sooner."""

from netlet.native.library import NotNative
from netlet.native.step import NativeStep
from netlet.native.warp import NativeWarp

__all__ = ["NativeStep", "NativeWarp", "NotNative"]
