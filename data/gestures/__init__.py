"""A speaker's gesture dictionary: mined from clips, edited by hand, inserted into motion."""
