"""Options of all commands as dataclasses; nothing here imports torch."""
