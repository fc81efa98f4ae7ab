#!/usr/bin/env python3
"""Replays requests of a whole fleet: `belljar policy replay A B --worker` over every partition, under Apache Spark.

    pip install pyspark        # needs Java 17
    python3 contrib/replay_spark.py [--master URL] [--partitions N] [--json] A B REQUESTS...

REQUESTS are files or directories of what `belljar audit export --format requests` printed, by any path Spark reads. A and
B are policies as `belljar policy replay` takes them. They and the program must lie at the same path on every machine; that
they are the same everywhere is checked. Tables of partitions merge into the same table whichever way the requests were cut,
so an executor that is lost costs time and nothing else. One corrupt line fails the job; which one stands on the standard
error of the executor, by its number in the partition.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys


def main():
    args = arguments()
    # Where Spark comes from PyPI, nothing else tells its own cluster which Scala it was built with.
    os.environ.setdefault("SPARK_SCALA_VERSION", "2.13")
    from pyspark import SparkConf, SparkContext

    conf = SparkConf().setAppName("belljar policy replay").setMaster(args.master)
    for setting in args.conf:
        conf.set(*setting.split("=", 1))
    spark = SparkContext(conf=conf)
    spark.setLogLevel("ERROR")
    try:
        lines = spark.textFile(",".join(args.requests), minPartitions=args.partitions)
        if args.partitions:
            lines = lines.repartition(args.partitions)
        worker = shlex.join([*replay(args), "--worker"])
        tables = lines.pipe(worker, checkCode=True).collect()
        rows = lines.count()
    finally:
        spark.stop()
    return show(args, tables, rows)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--master", default="local-cluster[2,1,1024]", help="Spark's [default: %(default)s]")
    parser.add_argument("--conf", action="append", default=[], metavar="NAME=VALUE", help="a setting of Spark")
    parser.add_argument("--partitions", type=int, help="cut the requests into so many [default: as the files lie]")
    parser.add_argument("--belljar", default="belljar", help="the program, on every machine [default: %(default)s]")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("a")
    parser.add_argument("b")
    parser.add_argument("requests", nargs="+")
    return parser.parse_args()


def replay(args):
    return [args.belljar, "policy", "replay", args.a, args.b]


def show(args, tables, rows):
    """The table of all partitions. It must be of as many requests as there are: a worker that was cut short is no worker."""
    lines = "".join(line + "\n" for line in tables)
    merged = subprocess.run([*replay(args), "--merge", "--json"], input=lines, capture_output=True, text=True)
    if merged.returncode != 0:
        sys.stderr.write(merged.stdout + merged.stderr)
        return merged.returncode
    seen = json.loads(merged.stdout)["requests"]
    if seen != rows:
        print(f"replay_spark: there are {rows} requests, and the workers saw {seen}", file=sys.stderr)
        return 1
    if args.json:
        sys.stdout.write(merged.stdout)
        return 0
    return subprocess.run([*replay(args), "--merge"], input=lines, text=True).returncode


if __name__ == "__main__":
    sys.exit(main())
