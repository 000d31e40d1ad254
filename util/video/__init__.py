"""Read and write video."""
