"""Palette files <-> colours. Knows nothing of how a palette is found or used."""
