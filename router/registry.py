"""Plug-ins by name: a decorator line makes a class configurable, listed and conformance-tested."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")
C = TypeVar("C", bound=type)


class Registry(Generic[T]):
    """Named factories of one kind of plug-in, found in the modules of one package."""

    def __init__(self, package: str) -> None:
        self.package = package
        self._factories: dict[str, Callable[..., T]] = {}

    def register(self, name: str) -> Callable[[C], C]:
        """Class decorator; using a name twice is an error."""

        def add(factory: C) -> C:
            if name in self._factories:
                raise ValueError(f"{self.package}: {name!r} is registered twice")
            self._factories[name] = factory
            return factory

        return add

    def load(self) -> None:
        """Import every module of the package."""
        for module in pkgutil.iter_modules(importlib.import_module(self.package).__path__):
            importlib.import_module(f"{self.package}.{module.name}")

    def describe(self) -> dict[str, tuple[str, str]]:
        """Name to (signature, first line of the docstring) of every plug-in."""
        self.load()
        return {
            name: (str(inspect.signature(factory)), (inspect.getdoc(factory) or "").split("\n")[0])
            for name, factory in sorted(self._factories.items())
        }

    def build(self, name: str, options: Mapping[str, object] | None = None) -> T:
        """An instance; ValueError names the known plug-ins, or the options that do not fit."""
        if name not in self._factories:
            self.load()
        if name not in self._factories:
            raise ValueError(f"{self.package}: no plug-in {name!r}; known: {', '.join(sorted(self._factories))}")
        try:
            return self._factories[name](**(options or {}))
        except TypeError as error:
            raise ValueError(f"{self.package}: {name}: {error}; it takes {inspect.signature(self._factories[name])}") from error
