"""Understands bytes. Pure: no sockets, no clock."""
