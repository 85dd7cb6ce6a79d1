"""Other libraries' ways to open and to save .kmq files; each module is imported only by who wants it."""
