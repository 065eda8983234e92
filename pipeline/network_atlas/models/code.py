"""Hash the code that a class or a function runs: a network's output depends on its `forward` too.

The user's own code is hashed by modules: the one that defines the class, and those of the user's that it imports,
transitively, so that a helper in another file counts. Code of an installed package is hashed by the package's version
and the source of the class. Code of torch and the standard library is not hashed. What has no source (typed into an
interpreter) is hashed by its bytecode. Comments, docstrings and the layout of the source do not count. A function that
`functools.wraps` renamed counts as what it is and as what it is called.
"""

from __future__ import annotations

import ast
import functools
import inspect
import sys
import sysconfig
import textwrap
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path
from types import CodeType, FunctionType, MethodType

from network_atlas.fingerprints import fingerprint

STANDARD = frozenset({*sys.stdlib_module_names, "torch", "network_atlas"}) - {"__main__"}
"""Packages whose code is not hashed: their functions compute the same under the same name. (Keys hold the versions of
this package's own algorithms.)"""
INSTALLED = ("site-packages", "dist-packages")
"""Folders that hold installed packages."""

Imports = tuple[tuple[str, tuple[str, ...]], ...]
"""Each module that a source imports, with the names that it takes from it."""


def code_hash(target: object) -> str:
    """Return a hash of the code of a class (with its bases), a function or an object with a method `__call__`.

    Empty where all of it is torch's or the standard library's.
    """
    if isinstance(target, functools.partial):
        return fingerprint(code_hash(target.func), _constant(target.args), _constant(target.keywords))
    if isinstance(target, MethodType):
        target = target.__func__
    if isinstance(target, type):
        parts = [_definition_hash(base) for base in target.__mro__]
    elif isinstance(target, FunctionType):
        parts = [_definition_hash(target)]
    else:
        return code_hash(type(target))
    return fingerprint(parts) if any(parts) else ""


def is_standard(*modules: str | None) -> bool:
    """Say whether modules are torch's, the standard library's or this package's: their code is not hashed."""
    return all((module or "").partition(".")[0] in STANDARD for module in modules)


def is_own(module: str | None) -> bool:
    """Say whether a module is the user's own: neither standard nor of an installed package."""
    file = _file_of(module or "")
    return not is_standard(module) and not (file and _is_installed(file))


def place_of(target: type | FunctionType) -> tuple[str, str]:
    """Return the module that defines a class or function and its qualified name there, whatever it was renamed to."""
    if isinstance(target, type):
        return target.__module__, target.__qualname__
    return target.__globals__.get("__name__", target.__module__), target.__code__.co_qualname


def identity(target: type | FunctionType) -> object:
    """Return what tells a definition from all others of its module: its qualified name, or its bytecode.

    Lambdas of a module all have the same name; so have definitions of which a condition lets one stand.
    """
    module, name = place_of(target)
    file = _file_of(module)
    alike = name.endswith("<lambda>") or (file is not None and name in _conditional(file))
    return list(_bytecode(target, set())) if alike else name


def _definition_hash(target: type | FunctionType) -> str:
    module, name = place_of(target)
    called = target.__module__, target.__qualname__
    hashes = [_hash_in(module, target, name)]
    if called != (module, name):
        wrapped = inspect.unwrap(target)
        hashes.append(_hash_in(called[0], wrapped if isinstance(wrapped, FunctionType) else target, called[1]))
    return fingerprint(hashes) if len(hashes) > 1 and any(hashes) else hashes[0]


def _hash_in(module: str, target: type | FunctionType, name: str) -> str:
    """Return the hash of a definition that has a name in a module."""
    if is_standard(module):
        return ""
    file = _file_of(module)
    if file is None:
        return fingerprint(name, list(_bytecode(target, set())))
    if _is_installed(file):
        return fingerprint(name, _version(module), _source(target))
    return fingerprint(identity(target), sorted(_modules(module, file).items()))


def _file_of(module: str) -> Path | None:
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file) if file and Path(file).is_file() else None


def _is_installed(file: Path) -> bool:
    standard = Path(sysconfig.get_path("stdlib"))
    return any(part in INSTALLED for part in file.parts) or standard in file.parents


def _version(module: str) -> str:
    return str(getattr(sys.modules.get(module.partition(".")[0]), "__version__", ""))


def _source(target: type | FunctionType) -> str:
    try:
        # By its code, since `inspect` looks for what a function wraps.
        text = inspect.getsource(target if isinstance(target, type) else target.__code__)
        return _parsed(textwrap.dedent(text))[0]
    except (OSError, TypeError, SyntaxError):  # compiled, made at run time, or inside of an expression
        return ""


def _modules(module: str, file: Path) -> dict[str, str]:
    """Return the user's own modules that run with one of them: their names, to their source in its plainest form."""
    texts: dict[str, str] = {}
    waiting = [(module, file)]
    while waiting:
        name, path = waiting.pop()
        if name in texts:
            continue
        texts[name], imports = _read(path)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for imported in _names(imports, package):
            source = _file_of(imported) or _beside(path, name, imported)
            if source and not _is_installed(source) and imported.partition(".")[0] not in STANDARD:
                waiting.append((imported, source))
    return texts


def _read(path: Path) -> tuple[str, Imports]:
    content = path.read_bytes()
    try:
        return _parsed(content.decode("utf-8-sig"))
    except (UnicodeDecodeError, SyntaxError):  # an extension module, or another encoding
        return fingerprint(content.hex()), ()


@functools.lru_cache(maxsize=512)
def _parsed(source: str) -> tuple[str, Imports]:
    """Return a source without comments and docstrings, and its imports."""
    tree = ast.parse(source)
    imports: list[tuple[str, tuple[str, ...]]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _documented(node):
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.Import):
            imports += [(alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imports.append(("." * node.level + (node.module or ""), tuple(alias.name for alias in node.names)))
    return ast.unparse(tree), tuple(imports)


@functools.lru_cache(maxsize=512)
def _conditional(file: Path) -> frozenset[str]:
    """Return the qualified names of a source's classes and functions that are defined on a condition."""
    try:
        tree = ast.parse(file.read_bytes().decode("utf-8-sig"))
    except (UnicodeDecodeError, SyntaxError):  # an extension module, or another encoding
        return frozenset()
    return frozenset(_names_on_condition(tree, "", on_condition=False))


def _names_on_condition(node: ast.AST, path: str, *, on_condition: bool) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = path + child.name
            inside = "." if isinstance(child, ast.ClassDef) else ".<locals>."
            below = list(_names_on_condition(child, name + inside, on_condition=False))
            yield from below
            methods = [each for each in below if "<locals>" not in each.removeprefix(name)]
            if on_condition or (isinstance(child, ast.ClassDef) and methods):  # another method makes another class
                yield name
        elif isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield from _names_on_condition(child, path, on_condition=True)


def _documented(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def _names(imports: Imports, package: str) -> Iterator[str]:
    """Yield the full names of modules that imports in a module of `package` may load; some may be no modules."""
    for module, taken in imports:
        if module.startswith(".") and not package:
            continue  # a relative import without a package fails when it runs
        full = resolve_name(module, package)
        parts = full.split(".")
        yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))
        yield from (f"{full}.{name}" for name in taken)


def _beside(path: Path, name: str, imported: str) -> Path | None:
    """Return the file of a module that was not imported yet, in the folder that holds the module `name` of `path`."""
    levels = name.count(".") + (path.name == "__init__.py")
    start = path.parents[levels].joinpath(*imported.split("."))
    candidates = (start.with_name(start.name + ".py"), start / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


def _bytecode(target: type | FunctionType | CodeType, seen: set[int]) -> Iterator[str]:
    """Yield the bytecode and constants of a definition without source, and of those without source that it names."""
    if id(target) in seen:
        return
    seen.add(id(target))
    if isinstance(target, type):
        for value in vars(target).values():
            function = getattr(value, "__func__", getattr(value, "fget", value))
            if isinstance(function, FunctionType):
                yield from _bytecode(function, seen)
    elif isinstance(target, FunctionType):
        yield _constant(target.__defaults__) + _constant(target.__kwdefaults__)
        yield from _bytecode(target.__code__, seen)
        for name in target.__code__.co_names:
            value = target.__globals__.get(name)
            if isinstance(value, type | FunctionType) and _file_of(place_of(value)[0]) is None:
                yield from _bytecode(value, seen)
    else:
        yield target.co_code.hex() + repr(target.co_names)
        for value in target.co_consts:
            if isinstance(value, CodeType):
                yield from _bytecode(value, seen)
            else:
                yield _constant(value)


def _constant(value: object) -> str:
    """Return a value as text that is the same in every process: without addresses, and sets in order."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(_constant(item) for item in value)}]"
    if isinstance(value, frozenset):
        return f"{{{', '.join(sorted(_constant(item) for item in value))}}}"
    if isinstance(value, dict):
        return _constant([(str(key), item) for key, item in sorted(value.items(), key=lambda entry: str(entry[0]))])
    if value is None or value is ... or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    return str(getattr(value, "__qualname__", type(value).__qualname__))
