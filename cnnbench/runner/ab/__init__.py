"""Paired comparison: two sides -> pairs of fresh processes -> verdicts."""
