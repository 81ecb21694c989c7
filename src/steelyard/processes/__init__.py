"""The processes of a running balancer, and how they talk; the supervisor, their parent, is steelyard/supervisor.py."""
