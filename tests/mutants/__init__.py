"""Mutation testing of the checks: ``python -m tests.mutants``."""
