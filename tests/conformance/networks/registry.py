"""Every network of the table: STYLES of each module of ``styles``, and keras.applications."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from tests.conformance.networks.applications import applications, starts
from tests.conformance.networks.style import Style


def small_styles() -> dict[str, Style]:
    """Small networks by name, in the order of the modules' names."""
    package = import_module("tests.conformance.networks.styles")
    modules = (
        import_module(f"{package.__name__}.{found.name}")
        for found in pkgutil.iter_modules(package.__path__)
    )
    return {style.name: style for module in modules for style in module.STYLES}


def styles() -> dict[str, Style]:
    """Every network by name: small ones, beginnings of each family, architectures."""
    families = (*starts(), *applications())
    return small_styles() | {style.name: style for style in families}


def every_recipe(name: str) -> bool:
    """Whether a network is held to the slow recipes too; architectures differ in depth alone."""
    return name in small_styles()
