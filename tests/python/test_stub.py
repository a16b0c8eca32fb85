"""`_native.pyi` says what the native module has, name by name and parameter by parameter."""

import ast
import inspect
from pathlib import Path

import farm_db
from farm_db import _native

STUB = ast.parse(Path(farm_db.__file__).with_name("_native.pyi").read_text(encoding="utf-8"))
#: Classes that only the native awaitables and loops use; users of the stub see `Awaitable`.
INNER = {"Operation", "LoopBridge"}


def parameters(function: ast.FunctionDef) -> list[str]:
    arguments = function.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def native_parameters(function: object) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]  # type: ignore[arg-type]


def stub_classes() -> dict[str, ast.ClassDef]:
    return {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}


def public(names: list[str]) -> set[str]:
    return {name for name in names if not name.startswith("_")}


def test_the_module_has_the_names_of_the_stub_and_no_others() -> None:
    functions = {node.name for node in STUB.body if isinstance(node, ast.FunctionDef)}
    assert public(dir(_native)) - INNER == functions | set(stub_classes())
    assert isinstance(_native.__version__, str)


def test_functions_take_what_the_stub_says() -> None:
    for node in STUB.body:
        if isinstance(node, ast.FunctionDef):
            assert native_parameters(getattr(_native, node.name)) == parameters(node), node.name


def test_classes_have_the_members_of_the_stub_and_no_others() -> None:
    for name, node in stub_classes().items():
        methods = [item.name for item in node.body if isinstance(item, ast.FunctionDef)]
        attributes = [item.target.id for item in node.body if isinstance(item, ast.AnnAssign)]  # type: ignore[union-attr]
        assert public(dir(getattr(_native, name))) == public(methods + attributes), name


def test_methods_take_what_the_stub_says() -> None:
    for name, node in stub_classes().items():
        for item in node.body:
            if isinstance(item, ast.FunctionDef):
                found = getattr(_native, name) if item.name == "__new__" else getattr(getattr(_native, name), item.name)
                assert native_parameters(found) == parameters(item), f"{name}.{item.name}"
