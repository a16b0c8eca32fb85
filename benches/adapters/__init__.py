"""Contenders. A module here whose name has no leading underscore lists its Adapter classes in ADAPTERS."""

from __future__ import annotations

import importlib
import pkgutil

from ..contract import Adapter


def discover() -> tuple[list[tuple[str, type[Adapter]]], dict[str, str]]:
    """Modules with their classes, and why a module could not be imported."""
    found: list[tuple[str, type[Adapter]]] = []
    missing: dict[str, str] = {}
    for info in pkgutil.iter_modules(__path__):
        if info.name.startswith("_"):
            continue
        try:
            module = importlib.import_module(f"{__name__}.{info.name}")
        except ImportError as error:
            missing[info.name] = str(error)
            continue
        found += [(module.__name__, adapter) for adapter in module.ADAPTERS]
    return found, missing


def load(module: str, name: str, backend: str) -> Adapter:
    adapters: list[type[Adapter]] = importlib.import_module(module).ADAPTERS
    for adapter in adapters:
        if (adapter.name, adapter.backend) == (name, backend):
            return adapter()
    raise LookupError(f"{module} has no {name} for {backend}")
