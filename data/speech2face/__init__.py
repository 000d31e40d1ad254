"""Face clips: on disk, in memory and as training items."""
