"""Moves bytes: asyncio protocols, no coroutine on a request's path."""
