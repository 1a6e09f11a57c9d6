"""Files and folders that a person names for results: checked before the work, written after it.

A regular file is replaced atomically and keeps its permissions; of a link, the file it leads to is
replaced. Pipes and character devices are written through. Folders, disks, sockets, read-only files
and the inputs of the same command are refused.
"""

from netlet.outputs.changes import describe_changed, is_changed, leave_changed, seal_text
from netlet.outputs.check import (
    HTML_MARK,
    ONNX_MARK,
    PNG_MARK,
    TEXT_MARK,
    check_output,
    check_output_folder,
)
from netlet.outputs.write import append_output, write_output, write_outputs

__all__ = [
    "HTML_MARK",
    "ONNX_MARK",
    "PNG_MARK",
    "TEXT_MARK",
    "append_output",
    "check_output",
    "check_output_folder",
    "describe_changed",
    "is_changed",
    "leave_changed",
    "seal_text",
    "write_output",
    "write_outputs",
]
