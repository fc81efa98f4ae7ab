#!/bin/sh
# Runs contrib/replay_spark.py under a real Apache Spark with executors in processes of their own: the same table as one
# process gives from every partitioning, and after one executor was killed in mid-job; a corrupt line fails the job.
#
#   tests/spark.sh [DIR]
#
# Needs Java 17 and pyspark from PyPI (some 500 MB), which is installed into a virtual environment at DIR/venv [default:
# a new directory under TMPDIR, removed afterwards] unless it is there. Like tests/suites.sh it is no part of the test run.
set -eu
cd "$(dirname "$0")/.."
command -v java > /dev/null || { echo "spark.sh: no Java: apt-get install openjdk-17-jre-headless" >&2; exit 2; }
if [ $# -gt 0 ]; then
    dir=$1
    mkdir -p "$dir"
else
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
fi
if ! "$dir/venv/bin/python" -c 'import pyspark' 2> /dev/null; then
    /usr/bin/python3 -m venv "$dir/venv"
    "$dir/venv/bin/pip" install -q pyspark
fi
cargo build -q --locked --bin belljar
cargo build -q --locked -p belljar-policy --example requests
target=${CARGO_TARGET_DIR:-target}
"$dir/venv/bin/python" -B tests/replay/spark.py "$target/debug/belljar" "$target/debug/examples/requests"
