#!/bin/sh
# The example with every Unicode character, from nothing: makes a virtual environment in .venv/ and runs
# examples/unicode_database.py with the arguments given here (none: in a temporary directory).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
python=$(sh "$here/../.ci/environment")
exec "$python" "$here/unicode_database.py" "$@"
