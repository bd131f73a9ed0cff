"""Measurements of netlang beside its peers: `python -m benchmarks`, described in docs/benchmarks.md."""
