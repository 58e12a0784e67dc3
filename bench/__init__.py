"""Benchmarks: `make bench`, or one of them as `python -m bench.runtime`. Each prints a JSON object a line."""
