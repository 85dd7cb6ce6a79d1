"""Indices <-> bytes. Knows no container: neither offsets nor checksums."""
