"""Local work: processes that Steelyard itself starts, watches and replaces.

Who starts and watches backends (owner.py, local.py) is loaded by the supervisor, and takes the standard library alone;
what serves a Python function (callable_server.py) is a process of its own, as are the workers of LocalPool.
"""
