"""Evaluations run by `scripts/evaluate.py`, one module for each kind and its parts."""
