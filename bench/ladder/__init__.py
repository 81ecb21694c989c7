"""The ladder: the same work under four ways to serve many clients (`python -m bench.ladder`; docs/ladder.md)."""
