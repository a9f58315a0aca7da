-- Sources that are listed in bursts: how far a round is, and what it saw.

-- +goose Up

CREATE TABLE ingestions (
    provider       text COLLATE "C" PRIMARY KEY,
    round          bigint NOT NULL,              -- counts from 1
    state          text COLLATE "C" NOT NULL,    -- ingest, rest, backoff, cancel
    next_action_at timestamptz NOT NULL,
    sequence       bigint NOT NULL,              -- pages of this round that were stored
    cursor         bytea,                        -- JSON, of the next page; null: the first one
    attempts       integer NOT NULL,             -- failures since the last page
    last_error     text COLLATE "C",
    started_at     timestamptz NOT NULL
);

-- One row for each page of the present round.
CREATE TABLE ingestion_marks (
    provider   text COLLATE "C" NOT NULL,
    round      bigint NOT NULL,
    sequence   bigint NOT NULL,
    cursor     bytea,
    entities   integer NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (provider, round, sequence)
);

-- The references of the present round, which are gone when it is over.
CREATE TABLE ingestion_seen (
    provider text COLLATE "C" NOT NULL,
    ref      text COLLATE "C" NOT NULL,
    PRIMARY KEY (provider, ref)
);

-- +goose Down
DROP TABLE ingestion_seen, ingestion_marks, ingestions;
