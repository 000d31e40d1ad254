"""Conversion of recordings into clips, and the report on their quality."""
