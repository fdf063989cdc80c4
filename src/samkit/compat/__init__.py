"""Interfaces of other libraries over samkit's core, one package each."""

__all__: list[str] = []
