"""Texts, transcripts with word times, forced alignment and text to speech."""
