"""Why compiled code is not available; callers fall back to PyTorch."""


class CompilationError(Exception):
    """The reason why compiled code is not available."""


class NoCompilerError(CompilationError):
    """There is no C compiler on this machine, and ``CC`` does not name one."""


class CompilationDisabledError(CompilationError):
    """The user turned compiled code off."""


class UnsupportedNetError(CompilationError):
    """The reason why the compiled backend does not support a net."""
