"""The parts of the benchmarks: each has a ``CLAIM`` and ``rows(fast=...)``."""
