"""Datasets: what is on disk, and how it becomes batches."""
