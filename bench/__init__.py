"""Speed: what one proxied request costs each balancer in CPU time (`python -m bench`; docs/bench.md explains)."""
