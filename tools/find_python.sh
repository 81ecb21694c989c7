#!/usr/bin/env bash
# Prints the interpreter that .venv is made with: $PYTHON if it is set, else the first Python 3.11 or newer on PATH.
# Each candidate is run, not only looked up: the shims of pyenv exist for versions that are not switched on.
set -euo pipefail

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
  if new_enough "$candidate"; then
    "$candidate" -c 'import sys; print(sys.executable)'
    exit 0
  fi
done

if [ -n "${PYTHON:-}" ]; then
  echo "PYTHON=$PYTHON is not Python 3.11 or newer." >&2
else
  echo "Python 3.11 or newer is needed and none is on PATH. On Debian 12 and newer: apt-get install python3 python3-venv;" >&2
  echo "elsewhere: https://www.python.org/downloads/ ; or say which one to use: make PYTHON=/path/to/python3" >&2
fi
exit 1
