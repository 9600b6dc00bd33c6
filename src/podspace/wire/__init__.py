"""Protocols without I/O: bytes in, events out. Imports nothing of podspace but ``errors``."""
