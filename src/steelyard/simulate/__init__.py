"""The same core under a virtual clock: what a policy does to waiting times, before anyone has to wait."""
