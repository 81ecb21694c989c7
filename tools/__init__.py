"""What the Makefile runs: compiling, the test runs, the lints of our own, the pictures and tables of the docs."""
