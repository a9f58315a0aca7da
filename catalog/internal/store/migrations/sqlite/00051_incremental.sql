-- Sources that are listed in bursts: how far a round is, and what it saw. The same
-- tables as in ../postgres.

-- +goose Up

CREATE TABLE ingestions (
    provider       TEXT PRIMARY KEY,
    round          INTEGER NOT NULL,             -- counts from 1
    state          TEXT NOT NULL,                -- ingest, rest, backoff, cancel
    next_action_at INTEGER NOT NULL,
    sequence       INTEGER NOT NULL,             -- pages of this round that were stored
    cursor         BLOB,                         -- JSON, of the next page; null: the first one
    attempts       INTEGER NOT NULL,             -- failures since the last page
    last_error     TEXT,
    started_at     INTEGER NOT NULL
);

-- One row for each page of the present round.
CREATE TABLE ingestion_marks (
    provider   TEXT NOT NULL,
    round      INTEGER NOT NULL,
    sequence   INTEGER NOT NULL,
    cursor     BLOB,
    entities   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (provider, round, sequence)
);

-- The references of the present round, which are gone when it is over.
CREATE TABLE ingestion_seen (
    provider TEXT NOT NULL,
    ref      TEXT NOT NULL,
    PRIMARY KEY (provider, ref)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE ingestion_seen;
DROP TABLE ingestion_marks;
DROP TABLE ingestions;
