"""Reads what the bridge wrote, with other people's programs: `read.py WHAT FILE…`.

`parquet` and `csv` by DuckDB, `binary-file` by itchfeed; a line of `key value` for each thing that the test
compares.
"""

import sys


def parquet(files):
    import duckdb

    def rows(sql):
        return duckdb.execute(sql.replace("FILES", repr(files))).fetchall()

    total = "count(*), sum(seq), sum(epoch_ns(timestamp)), sum(publisher_seq), sum(octet_length(payload))"
    print("total", *rows(f"SELECT {total} FROM read_parquet(FILES)")[0])
    names = [row[0] for row in rows("DESCRIBE SELECT * FROM read_parquet(FILES)")]
    print("columns", len(names))
    if "message_type" not in names:
        return
    fields = "count(*), coalesce(sum(shares), 0), coalesce(sum(price), 0), coalesce(sum(order_reference_number), 0)"
    by_type = f"SELECT message_type, {fields} FROM read_parquet(FILES) GROUP BY message_type ORDER BY message_type"
    for row in rows(by_type):
        print("type", *row)
    stocks = "SELECT stock, count(*) FROM read_parquet(FILES) WHERE stock IS NOT NULL GROUP BY stock ORDER BY stock"
    for row in rows(stocks):
        print("stock", *row)


def csv(files):
    import duckdb

    total = "count(*), sum(seq), sum(timestamp), sum(publisher_seq), sum(length(payload)) // 2"
    types = "{'seq': 'UBIGINT', 'timestamp': 'UBIGINT', 'epoch': 'UBIGINT', 'publisher': 'UINTEGER', "
    types += "'publisher_seq': 'UBIGINT', 'destination': 'UINTEGER', 'payload': 'VARCHAR'}"
    sql = f"SELECT {total} FROM read_csv({files!r}, header = true, columns = {types})"
    print("total", *duckdb.execute(sql).fetchall()[0])


def binary_file(files):
    from itch.parser import MessageParser

    count, digest = 0, 0
    for file in files:
        with open(file, "rb") as stream:
            for message in MessageParser().parse_file(stream):
                count += 1
                digest = (digest * 31 + sum(message.to_bytes())) % (1 << 61)
        with open(file, "rb") as stream:
            assert stream.read()[-2:] == b"\0\0", "a length of 0 ends the file"
    print("total", count, digest)


what, *files = sys.argv[1:]
{"parquet": parquet, "csv": csv, "binary-file": binary_file}[what](files)
