"""A soak: real processes of the balancer under random clients, faults and reloads, and what must hold at the end.

It lies with the tests, since it is made of theirs (the balancer of tests/processes, the client of tests/real), and a
short one is a test itself. `make soak` runs it for minutes.
"""
