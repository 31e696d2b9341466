"""How fast databases in a bucket are read; see README.md of the benchmarks."""
