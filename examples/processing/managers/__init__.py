"""The managers of the example: one module for each kind of work, so that a process loads only what it needs."""
