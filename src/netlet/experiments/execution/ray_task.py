"""What a node of a Ray cluster runs: a task, if the node has the driver's netlet.

Ray sends the functions of this file by value, together with those of
:mod:`netlet.installation`: the node may have another netlet or none. So they need nothing but the
standard library and Ray until both are known to be the same.
"""

from __future__ import annotations

import io
import os
import pickle
import platform
import traceback
from collections.abc import Sequence
from typing import Any

import ray

from netlet.installation import describe_installation

RESULT, ERROR, OTHER_NETLET = "result", "error", "other netlet"

_GPU_FILES = ("/dev/nvidiactl", "/dev/kfd")  # at least one exists where there are GPUs
# Of a worker process, which gets a copy of its own with the functions.
_here: dict[str, str] = {}


def identify_node() -> dict[str, str]:
    """Return the name of this node and the netlet that it has.

    Returns:
        ``node``, and the keys of :func:`~netlet.installation.describe_installation`.
    """
    if not _here:
        number = ray.get_runtime_context().get_node_id()[:8]
        # Several nodes may run on one machine, as in a test.
        _here.update(describe_installation(), node=f"{platform.node()} (Ray node {number})")
    return dict(_here)


def answer_call(sources: str, call: bytes, attached: Sequence[Any]) -> bytes:
    """Call a function, unless this node has another netlet than the driver.

    Args:
        sources: The digest of the driver's netlet.
        call: The pickled function and its arguments.
        attached: What the arguments refer to by number, such as references to stored objects.

    Returns:
        A pickled pair: ``result`` and what the function returned, ``error`` and its exception, or
        ``other netlet`` and what :func:`identify_node` returned. Bytes, since whatever passes them
        on may not have netlet.
    """
    here = identify_node()
    if here["sources"] != sources:
        return pickle.dumps((OTHER_NETLET, here))
    os.environ["NETLET_NODE"] = here["node"]  # for the record of a run
    if not ray.get_gpu_ids() and any(map(os.path.exists, _GPU_FILES)):
        # Recent versions of Ray let a task that has reserved no GPU use them all.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""

    class _Unpickler(pickle.Unpickler):
        def persistent_load(self, number: Any) -> Any:
            return attached[number]

    try:
        function, args, kwargs = _Unpickler(io.BytesIO(call)).load()
        return pickle.dumps((RESULT, function(*args, **kwargs)))
    except (Exception, SystemExit) as error:
        return _pickle_error(error)


def _pickle_error(error: Exception | SystemExit) -> bytes:
    """Return an answer that raises the error in the driver, with the traceback of this process."""
    note = f"On {_here['node']}:\n{''.join(traceback.format_exception(error))}"
    other = RuntimeError(f"{type(error).__name__}: {error}")
    for candidate in (error, other) if isinstance(error, Exception) else (other,):
        candidate.add_note(note)
        try:
            answer = pickle.dumps((ERROR, candidate))
            pickle.loads(answer)
        except Exception:
            continue
        return answer
    return pickle.dumps((ERROR, RuntimeError(f"{type(error).__name__}")))
