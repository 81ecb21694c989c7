"""Decides. Pure: no sockets, no asyncio, no clock, no randomness of its own."""
