"""Local work: processes that Steelyard itself starts, watches and replaces."""
