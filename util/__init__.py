"""Pure functions and tools that all layers share: audio, text, video, body, rendering, metrics."""
