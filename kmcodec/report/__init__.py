"""Original + .kmq -> Report: what it cost, what it saved, and how it looks."""
