"""Lists and dicts that code changes are found, by whichever name it changes them."""

from __future__ import annotations

import ast
import statistics
import time
import types

import pytest

from netlet.nets.changed_names import list_changed

DEFINED = """
class Log:
    def __init__(self, of, *, more=None):
        self.into = of
def keep(first, x): first.append(x)
def keep_all(*every): every[0].append(1)
def keep_named(**named): named["of"].append(1)
def use(here, *, into): here.sort()
def find(one): return one[0]
"""


@pytest.mark.parametrize(
    "code",
    [
        "n.append(1)",
        "n[1:] = [1]",
        "del n[1]",
        "n += [1]",
        "n |= {'a': 1}",
        "n[0] += 1",
        "m = n\nm.sort()",
        "m: list = n\nm.sort()",
        "m, k = n, 1\nm.sort()",
        "m, k = n\nm.sort()",
        "[m, *k] = n\nk[0].sort()",
        "m = n\nm += [1]",
        "self.m = n\nself.m += [1]",
        "self.m['a'] = n\nself.m['a'].sort()",
        "head = n['head']\nhead['inputs'] = 784",
        "head = n.get('head', {})\nhead['inputs'] = 784",
        "if head := n['head']: head['inputs'] = 784",
        "for block in n: block['stride'] = 2",
        "for i, (name, block) in enumerate(n.items()): block['stride'] = 2",
        "[block.update(stride=2) for block in n]",
        "{block.pop('a') for block in n.values() if block}",
        "with locked(1), n as block: block['stride'] = 2",
        "with n.get('lock') as block: block['stride'] = 2",
        "match n:\n    case {'head': head, **rest}:\n        head['inputs'] = 784",
        "match n:\n    case [1, *rest]:\n        rest[0].sort()",
        "m = n if True else []\nm.sort()",
        "m = None or n\nm.sort()",
        "m = [*n.values()][0]\nm.sort()",
        "m = sorted(n)[0]\nm.sort()",
        "m = {'a': n}\nm['a'].sort()",
        "for block in n + [1]: block['stride'] = 2",
        "m = [one for one in n]\nm[0].sort()",
        "m = []\nm.append(n)\nm[0].sort()",
        "m = {}\nm.update(a=n)\nm.get('a').sort()",
        "self.m.append(n)\nfor one in self.m: one.sort()",
        "for block in n: m.insert(0, block)\nm[0]['stride'] = 2",
        "random.shuffle(n)",
        "heapq.heappush(n, 1)",
        "heappush(n, 1)",
        "bisect.insort(n, 1)",
        "list.append(n, 1)",
        "add = n.append\nadd(1)",
        "list(map(n.append, [1]))",
        "functools.partial(list.append, n)(1)",
        "operator.setitem(n, 0, 1)",
        "keep(n, 1)",
        "keep(first=n, x=1)",
        "keep(*n)",
        "keep(**n)",
        "keep_all(n)",
        "keep_named(of=n)",
        "def sort(x, *, default=n): default.sort()",
        "def get(): return n\nget().sort()",
        "class A:\n    def get(self): return n\nm = A().get()\nm.sort()",
        "def each(): yield from n\nfor m in each(): m.sort()",
        "get = lambda: n\nget()[0] = 1",
        "f = lambda x, default=n: default.sort()",
        "Log(n).into.sort()",
        "log = Log(n)\nlog.into.sort()",
        "config = Namespace(widths=n)\nconfig.widths.sort()",
        "imported(n)",
        "module.inside.imported(n)",
    ],
)
def test_a_list_that_code_changes_is_found(code: str) -> None:
    def imported(of: object) -> None: ...

    imported.__code__ = imported.__code__.replace(co_filename="mine.py")
    imported.__module__ = "mine"
    imported = types.FunctionType(imported.__code__, {"__name__": "mine"})
    module, inside = types.ModuleType("module"), types.ModuleType("inside")
    vars(module)["inside"], vars(inside)["imported"] = inside, imported
    tree = ast.parse(f"n = [1]\n{DEFINED}\n{code}")
    assert "n" in list_changed(tree, {"imported": imported, "module": module})


@pytest.mark.parametrize(
    "code",
    [
        "m = [*range(3)]\nm.sort()",
        "m = n[0]\nprint(m)",
        "for block in n: print(block['stride'])",
        "for block in n: m.append(block)",
        "m.append(n)\nm.sort()\nm[0] = 1",
        "m, k = n, [1]\nk.sort()",
        "k = len(n)\nk += 1",
        "k[n[0]] = 1",
        "find(n)",
        "find(Log(n).into)",
        "mean(n)",
        "statistics.mean(n)",
        "unknown(n)",
        "use(1, into=n)",
        "n == m\nm.sort()",
    ],
)
def test_a_list_that_is_only_read_is_not_found(code: str) -> None:
    tree = ast.parse(f"n = [1]\n{DEFINED}\n{code}")
    names = {"statistics": statistics, "mean": statistics.mean}
    assert "n" not in list_changed(tree, names)


def test_many_names_of_a_list_are_followed_in_little_time() -> None:
    lines = [f"m{i} = m{i + 1}" for i in range(5_000)]
    start = time.process_time()
    changed = list_changed(ast.parse("\n".join([*lines, "m5000 = n", "m0.sort()"])), {})
    assert "n" in changed
    assert time.process_time() - start < 5
