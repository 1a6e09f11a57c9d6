"""Which functions of Python, NumPy and PyTorch change what they get.

Their code is not read, so they are listed. Of PyTorch, these are all that change a net or its
tensors and are part of ``torch.nn.utils`` and of its modules ``prune``, ``parametrize`` and
``parametrizations``, of ``torch.ao.quantization`` or of ``torch.nn``. Functions with
``inplace=True`` and those of a module whose names end with an underscore need no entry.
``vector_to_parameters`` has none: scripts call it to evaluate a trained net at other weights.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence

from netlet.nets.random_numbers import list_imported
from netlet.nets.script import MUTATING_METHODS, find_root, last_name

# Of Python and NumPy; they change their first argument.
_CHANGE_FIRST = {"setattr", "delattr", "setitem", "delitem", "next", "shuffle", "copyto"}
_CHANGE_FIRST |= {"heapify", "heappush", "heappop", "heapreplace", "heappushpop", "insort"}
# Of PyTorch, by the parameter that they change: the first one, but for those of _CHANGE_SECOND.
_OF_TORCH = {
    "module": {
        *("spectral_norm", "weight_norm", "orthogonal", "remove_spectral_norm"),
        *("remove_weight_norm", "register_parametrization", "remove_parametrizations"),
        *("identity", "remove", "l1_unstructured", "ln_structured", "random_structured"),
        *("random_unstructured", "custom_from_mask", "convert_sync_batchnorm"),
        *("convert_conv2d_weight_memory_format", "convert_conv3d_weight_memory_format"),
        "add_quant_dequant",
    },
    "mod": {
        *("enable_observer", "disable_observer", "enable_fake_quant", "disable_fake_quant"),
        "load_observer_state_dict",
    },
    "parameters": {"global_unstructured"},
    "to_module": {"transfer_parametrizations_and_params"},
}
_CHANGE_SECOND = {"transfer_parametrizations_and_params"}
_PARAMETERS = {name: parameter for parameter, names in _OF_TORCH.items() for name in names}
_PRUNERS = {"BasePruningMethod", "PruningContainer", "Identity", "CustomFromMask"}
_PRUNERS |= {"RandomUnstructured", "L1Unstructured", "RandomStructured", "LnStructured"}
# What functions of PyTorch undo. They fail where it has not been done. Without names that most nets
# use otherwise: nn.Identity, and identity = x.
_PRUNING = {"l1_unstructured", "ln_structured", "random_structured", "random_unstructured"}
_PRUNING |= {"custom_from_mask", "global_unstructured", *_PRUNERS} - {"Identity"}
_PARAMETRIZING = {"register_parametrization", "orthogonal", "spectral_norm", "weight_norm"}
_UNDONE = {
    "remove": _PRUNING,
    "remove_spectral_norm": {"spectral_norm"},
    "remove_weight_norm": {"weight_norm"},
    "remove_parametrizations": {*_PARAMETRIZING, "transfer_parametrizations_and_params"},
}
UNDONE = set[str]().union(*_UNDONE.values())
# Of PyTorch, by their names up to 0.3, which it still has.
_OLD_INITS = {"uniform", "normal", "constant", "eye", "dirac", "xavier_uniform", "xavier_normal"}
_OLD_INITS |= {"kaiming_uniform", "kaiming_normal", "orthogonal", "sparse"}
_OTHER_PRECISIONS = {"float64", "double", "float16", "half", "bfloat16"}
# Names that others use, too: these count only if they are imported from PyTorch.
_COMMON = {"identity", "remove", "orthogonal"}
# At which place functions of PyTorch take "inplace", and what they change then.
_IN_PLACE = {"fuse_modules": 2, "fuse_modules_qat": 2, "prepare": 1, "prepare_qat": 2, "convert": 2}
# What needs a net in evaluation mode or in training mode: it fails otherwise.
NEEDS_MODE = {"fuse_modules", "fuse_modules_qat", "prepare_qat", "fuse_conv_bn_eval"}
NEEDS_MODE |= {"fuse_linear_bn_eval", "optimize_for_inference"}


class KnownChanges:
    """What calls of known functions change in a script.

    Args:
        imported: The names that the script imports, with their packages.
        classes: The classes of the script.
        statements: All its statements.
    """

    def __init__(
        self,
        imported: Mapping[str, str],
        classes: Iterable[ast.ClassDef],
        statements: Sequence[ast.stmt],
    ) -> None:
        self._imported = imported
        self._modules = list_imported(n for n in statements if isinstance(n, ast.Import)).keys()
        nodes = [one for statement in statements for one in ast.walk(statement)]
        self._inits = set(_list_inits(nodes))
        self._named = {last_name(n) for n in nodes if isinstance(n, ast.Name | ast.Attribute)}
        own = (one for one in classes if any(last_name(base) in _PRUNERS for base in one.bases))
        self._pruners = {one.name for one in own}

    def is_mutating(self, call: ast.Call) -> bool:
        """Return whether a call is that of a method that changes its object.

        That of a module is none: ``os.remove`` changes nothing here.
        """
        match call.func:
            case ast.Attribute(attr="to"):
                given = [*call.args, *(one.value for one in call.keywords)]
                return any(last_name(one) in _OTHER_PRECISIONS for one in given)
            case ast.Attribute(attr=name, value=of) if name in MUTATING_METHODS:
                is_module = isinstance(of, ast.Name) and of.id in self._modules
                return not is_module and not self._is_of_torch(call)
        return False

    def _is_of_torch(self, call: ast.Call) -> bool:
        """Return whether a call is that of a listed function of PyTorch, not that of a method.

        ``prune.remove(net, "weight")`` changes no list ``prune``.
        """
        name = last_name(call.func)
        return self._is_pruner(call.func) or (name in _PARAMETERS and self._is_imported(call.func))

    def list_changed(self, call: ast.Call, *, is_of_package: bool) -> list[ast.expr]:
        """Return the arguments that a call changes by a known function.

        Args:
            call: The call.
            is_of_package: Whether the function is that of an imported package.
        """
        name = last_name(call.func)
        if self._is_pruner(call.func):  # as in prune.L1Unstructured.apply(net, "weight", 0.5)
            return _pick(call, 0, "module")
        if name in _PARAMETERS and (name not in _COMMON or self._is_imported(call.func)):
            return _pick(call, int(name in _CHANGE_SECOND), _PARAMETERS[name])
        in_place = name.endswith("_") and not name.startswith("_")
        is_old = is_of_package and name in _OLD_INITS and self._is_init(call.func)
        if name in _CHANGE_FIRST or (is_of_package and (in_place or _is_in_place(call))) or is_old:
            return call.args[:1] or _pick(call, 0, "model") or _pick(call, 0, "tensor")
        return []

    def list_undone(self, call: ast.Call) -> set[str]:
        """Return the functions and classes of PyTorch whose work a call undoes.

        They are empty if the script names none of them: then the net comes with what is undone.
        """
        undone = _UNDONE.get(last_name(call.func), set())
        return undone if undone & self._named else set()

    def _is_imported(self, function: ast.expr) -> bool:
        return self._imported.get(find_root(function)) == "torch"

    def _is_init(self, function: ast.expr) -> bool:
        """Return whether this is a function of ``torch.nn.init``, by whatever name."""
        named = function.value if isinstance(function, ast.Attribute) else function
        return last_name(named) in {"init", *self._inits}

    def _is_pruner(self, function: ast.expr) -> bool:
        """Return whether this is ``apply`` of a class that prunes, also of one of the script."""
        if not isinstance(function, ast.Attribute) or function.attr != "apply":
            return False
        name = last_name(function.value)
        return name in self._pruners or (name in _PRUNERS and self._is_imported(function))


def read_net_of_mode(node: ast.stmt) -> ast.expr:
    """Return the net of ``net.eval()`` or ``net.train()``; a constant for other statements."""
    match node:
        case ast.Expr(ast.Call(func=ast.Attribute(attr="eval" | "train", value=net))):
            return net
    return ast.Constant(None)


def _list_inits(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the names of ``torch.nn.init`` and of its functions that a script imports."""
    for one in nodes:
        match one:
            case ast.Import(names=names):
                yield from (n.asname for n in names if n.asname and n.name == "torch.nn.init")
            case ast.ImportFrom(module="torch.nn.init" | "torch.nn" as module, names=names):
                every = module == "torch.nn.init"
                yield from (n.asname or n.name for n in names if every or n.name == "init")


def _pick(call: ast.Call, place: int, parameter: str) -> list[ast.expr]:
    """Return the argument at a place, or with the name of a parameter."""
    named = [one.value for one in call.keywords if one.arg == parameter]
    return named or call.args[place : place + 1]


def _is_in_place(call: ast.Call) -> bool:
    """Return whether a call has the argument ``inplace=True``."""
    place = _IN_PLACE.get(last_name(call.func))
    values = [one.value for one in call.keywords if one.arg == "inplace"]
    values += [] if place is None else call.args[place : place + 1]
    return any(isinstance(one, ast.Constant) and one.value is True for one in values)
