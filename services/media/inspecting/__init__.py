"""Checking one file in a process of its own: bytes in, a verdict out. Started by `services.media.sandbox`."""
