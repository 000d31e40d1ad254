"""Generators of frames from skeleton maps; base.py defines their interface."""
