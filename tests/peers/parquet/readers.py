"""The same figures by DuckDB, pandas or polars: readers.py TOOL PLACE [ENDPOINT] prints them as JSON."""

import json
import os
import sys

TOOL, PLACE, ENDPOINT = sys.argv[1], sys.argv[2], (sys.argv[3:] or [""])[0]
KEY, SECRET, REGION = (os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"))


def figures(**seen):
    print(json.dumps(seen))


def by_duckdb():
    """The S3 client of DuckDB is an extension that is loaded from its own site; so pyarrow lists and opens here."""
    import duckdb

    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    if ENDPOINT:
        import pyarrow.dataset as dataset

        for table in ("records", "estimates", "windows"):
            found = dataset.dataset(bucket_path(table), format="parquet", partitioning="hive", filesystem=arrow_s3())
            db.register(table, found.to_table())
    else:
        for table in ("records", "estimates", "windows"):
            files = f"{PLACE}/{table}/*/*.parquet"
            db.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{files}', hive_partitioning = true)")
    one = lambda text: db.execute(text).fetchone()
    for table in ("records", "estimates", "windows"):
        # No column is a word that must be quoted.
        columns = [row[0] for row in db.execute(f"DESCRIBE {table}").fetchall()]
        db.execute(f"CREATE TABLE all_of_{table} AS SELECT {', '.join(columns)} FROM {table}")
    records, calls, seen, at, temperature = one(
        "SELECT count(*), sum(calls)::BIGINT, epoch_us(max(last_seen)), epoch_us(max(cut_at)), sum(sampling_temperature) FROM records"
    )
    estimates, total, log_e, reasons, none, breached = one(
        "SELECT count(*), sum(estimate), count(log_e), sum(len(reasons))::BIGINT, count(*) FILTER (verdict IS NULL), "
        "count(*) FILTER (verdict = 'breached') FROM estimates"
    )
    windows, n = one("SELECT count(*), sum(n) FROM windows")
    figures(
        records=records, calls=calls, last_seen_us=seen, at_us=at, temperature=round(temperature, 6),
        days=[str(row[0]) for row in db.execute("SELECT DISTINCT date FROM records ORDER BY 1").fetchall()],
        calls_by_arm=dict(db.execute("SELECT arm, sum(calls)::BIGINT FROM records GROUP BY arm ORDER BY arm").fetchall()),
        revisions=[row[0] for row in db.execute("SELECT DISTINCT model_revision FROM records WHERE model_revision IS NOT NULL ORDER BY 1").fetchall()],
        estimates=estimates, estimate_sum=round(total, 6), log_e_count=log_e, reasons=reasons, no_verdict=none,
        breached=breached, windows=windows, window_n=round(n, 6),
        json_calls=sum(json.loads(row[0])["traffic"]["calls"] for row in db.execute("SELECT record FROM records").fetchall()),
        verdicts=one("SELECT sum(len(verdicts))::BIGINT FROM records")[0],
    )


def arrow_s3():
    from pyarrow import fs

    return fs.S3FileSystem(access_key=KEY, secret_key=SECRET, region=REGION, endpoint_override=ENDPOINT)


def bucket_path(table):
    return f"{PLACE.removeprefix('s3://')}/{table}"


def by_pandas():
    import pandas

    def frame(table):
        if ENDPOINT:
            return pandas.read_parquet(bucket_path(table), filesystem=arrow_s3())
        return pandas.read_parquet(f"{PLACE}/{table}")

    records, estimates, windows = map(frame, ("records", "estimates", "windows"))
    assert str(records["cut_at"].dtype) == "datetime64[us, UTC]", records["cut_at"].dtype
    length = lambda column: int(column.dropna().map(len).sum())
    figures(
        records=len(records), calls=int(records["calls"].sum()),
        last_seen_us=int(records["last_seen"].max().value // 1_000), at_us=int(records["cut_at"].max().value // 1_000),
        temperature=round(float(records["sampling_temperature"].sum()), 6),
        days=sorted(map(str, records["date"].unique())),
        calls_by_arm={arm: int(calls) for arm, calls in records.groupby("arm")["calls"].sum().items()},
        revisions=sorted(records["model_revision"].dropna().unique()),
        estimates=len(estimates), estimate_sum=round(float(estimates["estimate"].sum()), 6),
        log_e_count=int(estimates["log_e"].count()), reasons=length(estimates["reasons"]),
        no_verdict=int(estimates["verdict"].isna().sum()), breached=int((estimates["verdict"] == "breached").sum()),
        windows=len(windows), window_n=round(float(windows["n"].sum()), 6),
        json_calls=sum(json.loads(text)["traffic"]["calls"] for text in records["record"]),
        verdicts=length(records["verdicts"]),
    )


def by_polars():
    import polars

    def frame(table):
        options = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "aws_region": REGION}
        options |= {"aws_endpoint_url": ENDPOINT, "aws_allow_http": "true"}
        place = f"{PLACE}/{table}/**/*.parquet"
        return polars.scan_parquet(place, hive_partitioning=True, storage_options=options if ENDPOINT else None).collect()

    records, estimates, windows = map(frame, ("records", "estimates", "windows"))
    assert records.schema["cut_at"] == polars.Datetime("us", "UTC"), records.schema["cut_at"]
    micros = lambda column: int(column.dt.epoch("us").max())
    length = lambda column: int(column.list.len().sum())
    arms = records.group_by("arm").agg(polars.col("calls").sum()).sort("arm")
    figures(
        records=len(records), calls=records["calls"].sum(), last_seen_us=micros(records["last_seen"]), at_us=micros(records["cut_at"]),
        temperature=round(records["sampling_temperature"].sum(), 6),
        days=sorted(map(str, records["date"].unique())), calls_by_arm=dict(arms.iter_rows()),
        revisions=sorted(records["model_revision"].drop_nulls().unique()),
        estimates=len(estimates), estimate_sum=round(estimates["estimate"].sum(), 6), log_e_count=estimates["log_e"].count(),
        reasons=length(estimates["reasons"]), no_verdict=estimates["verdict"].null_count(),
        breached=int((estimates["verdict"] == "breached").sum()), windows=len(windows), window_n=round(windows["n"].sum(), 6),
        json_calls=sum(json.loads(text)["traffic"]["calls"] for text in records["record"]), verdicts=length(records["verdicts"]),
    )


{"duckdb": by_duckdb, "pandas": by_pandas, "polars": by_polars}[TOOL]()
