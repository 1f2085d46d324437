"""Linking: mentions in, entities out."""

from .linker import LinkedEntity, Linker


__all__ = ["LinkedEntity", "Linker"]
