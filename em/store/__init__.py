"""The record store."""

from em.store.store import Store

__all__ = ["Store"]
