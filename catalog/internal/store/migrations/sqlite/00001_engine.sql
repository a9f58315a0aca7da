-- The processing engine's state, what it serves, and what readers follow.
-- Contract: catalog 3 (processing), 5.1 (tables). The same tables as in ../postgres;
-- times are microseconds since 1970 (db.Time). Text is compared by its bytes.

-- +goose Up

-- One row per entity reference that some source emits, or emitted until a moment ago.
-- Scheduling lives in refresh_queue, so that a round without changes rewrites
-- narrow rows only.
CREATE TABLE refresh_state (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    uid               TEXT NOT NULL UNIQUE,
    ref               TEXT NOT NULL UNIQUE,
    unprocessed       BLOB NOT NULL,          -- JSON, as the source gave it
    unprocessed_hash  BLOB NOT NULL,
    processed         BLOB,                   -- JSON of the last run that succeeded
    result_hash       BLOB,                   -- of the last run; null forces the next one to be written
    errors            BLOB,                   -- JSON array of the latest run; null: none
    cache             BLOB,                   -- JSON object: what processors keep between runs
    location_key      TEXT,
    orphan            INTEGER NOT NULL DEFAULT 0,
    places            BLOB,                   -- JSON: where in its file the document stands; null: unknown
    last_discovery_at INTEGER NOT NULL
);
CREATE INDEX refresh_state_orphans ON refresh_state (id) WHERE orphan;
CREATE INDEX refresh_state_errors ON refresh_state (id) WHERE errors IS NOT NULL;

CREATE TABLE refresh_queue (
    id             INTEGER PRIMARY KEY REFERENCES refresh_state (id) ON DELETE CASCADE,
    next_update_at INTEGER NOT NULL,
    failures       INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX refresh_queue_due ON refresh_queue (next_update_at);

-- Who emits what: one edge per source, a provider or a processed entity. All
-- edges of a target carry its location key. via is a hash of the spec.target that an
-- entity's child was read through: while that cannot be read, its children stay.
CREATE TABLE refresh_edges (
    source_provider TEXT,
    source_id       INTEGER REFERENCES refresh_state (id) ON DELETE CASCADE,
    target_id       INTEGER NOT NULL REFERENCES refresh_state (id) ON DELETE CASCADE,
    via             INTEGER NOT NULL DEFAULT 0,
    CHECK ((source_provider IS NULL) <> (source_id IS NULL))
);
CREATE UNIQUE INDEX refresh_edges_by_provider ON refresh_edges (source_provider, target_id) WHERE source_provider IS NOT NULL;
CREATE UNIQUE INDEX refresh_edges_by_source ON refresh_edges (source_id, target_id) WHERE source_id IS NOT NULL;
CREATE INDEX refresh_edges_by_target ON refresh_edges (target_id, source_id);

-- Emissions that are not what the row holds. Those with another location key lost to
-- the holder: when it lets go, the best claim takes the reference over, with its uid.
-- Those with the row's key have an edge too: a source that came later emits the
-- same reference with other content, which stands while that source does.
CREATE TABLE refresh_claims (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    source_provider  TEXT,
    source_id        INTEGER REFERENCES refresh_state (id) ON DELETE CASCADE,
    ref              TEXT NOT NULL,
    location_key     TEXT,
    unprocessed      BLOB NOT NULL,
    unprocessed_hash BLOB NOT NULL,
    places           BLOB,
    via              INTEGER NOT NULL DEFAULT 0,
    CHECK ((source_provider IS NULL) <> (source_id IS NULL))
);
CREATE UNIQUE INDEX refresh_claims_by_provider ON refresh_claims (source_provider, ref, coalesce(location_key, '')) WHERE source_provider IS NOT NULL;
CREATE UNIQUE INDEX refresh_claims_by_source ON refresh_claims (source_id, ref, coalesce(location_key, '')) WHERE source_id IS NOT NULL;
CREATE INDEX refresh_claims_by_ref ON refresh_claims (ref);

CREATE TABLE refresh_keys (
    entity_id INTEGER NOT NULL REFERENCES refresh_state (id) ON DELETE CASCADE,
    key       TEXT NOT NULL,
    PRIMARY KEY (entity_id, key)
);
CREATE INDEX refresh_keys_by_key ON refresh_keys (key, entity_id);

-- Both ends are references, because either may name an entity that is not there.
CREATE TABLE relations (
    originating_id INTEGER NOT NULL REFERENCES refresh_state (id) ON DELETE CASCADE,
    source_ref     TEXT NOT NULL,
    type           TEXT NOT NULL,
    target_ref     TEXT NOT NULL,
    PRIMARY KEY (originating_id, source_ref, type, target_ref)
);
CREATE INDEX relations_by_source ON relations (source_ref, type, target_ref);

-- What is served, byte for byte. seq numbers every change in commit order.
CREATE TABLE final_entities (
    id         INTEGER PRIMARY KEY REFERENCES refresh_state (id) ON DELETE CASCADE,
    uid        TEXT NOT NULL UNIQUE,
    ref        TEXT NOT NULL UNIQUE,
    entity     BLOB NOT NULL,
    etag       TEXT NOT NULL,
    hash       BLOB NOT NULL,                 -- of what the etag and the bytes were made of
    seq        INTEGER NOT NULL UNIQUE,
    updated_at INTEGER NOT NULL
);

-- Entities that stopped being served, for readers that follow seq. Rows are
-- pruned after a while; a reader that is further behind starts over.
CREATE TABLE final_deletions (
    seq        INTEGER PRIMARY KEY,
    id         INTEGER NOT NULL,
    uid        TEXT NOT NULL,
    ref        TEXT NOT NULL,
    deleted_at INTEGER NOT NULL
);

-- The last seq given out. Its row lock makes commits happen in the order of seq.
CREATE TABLE change_seq (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    value INTEGER NOT NULL
);
INSERT INTO change_seq VALUES (1, 0);

CREATE TABLE search_keys (
    id  INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE
);

-- The flattened entities (contract 5.2). original is null when it equals value, or
-- when value is null. No foreign key: rows go with final_entities, by the one
-- statement that deletes those.
CREATE TABLE search (
    entity_id INTEGER NOT NULL,
    key_id    INTEGER NOT NULL,
    value     TEXT,
    original  TEXT
);
CREATE UNIQUE INDEX search_by_entity ON search (entity_id, key_id, value);
CREATE INDEX search_by_key ON search (key_id, value, entity_id);

CREATE TABLE stitch_queue (
    ref    TEXT PRIMARY KEY,
    ticket INTEGER NOT NULL,
    due_at INTEGER NOT NULL
);
CREATE INDEX stitch_queue_due ON stitch_queue (due_at);

-- Locations that users registered (POST /locations).
CREATE TABLE locations (
    id         TEXT PRIMARY KEY,
    type       TEXT NOT NULL,
    target     TEXT NOT NULL,
    entity_ref TEXT NOT NULL,
    UNIQUE (type, target)
);
CREATE INDEX locations_by_entity_ref ON locations (entity_ref);

-- Large shrinks of a provider's set that are held back until confirmed.
CREATE TABLE held_removals (
    provider   TEXT PRIMARY KEY,
    digest     BLOB NOT NULL,                 -- of the references that would go
    removed    INTEGER NOT NULL,
    total      INTEGER NOT NULL,
    times      INTEGER NOT NULL,               -- equal answers so far
    released   INTEGER NOT NULL DEFAULT 0,
    refs       BLOB NOT NULL,                 -- JSON array, the first hundred
    first_at   INTEGER NOT NULL,
    last_at    INTEGER NOT NULL
);

-- +goose Down
DROP TABLE held_removals;
DROP TABLE locations;
DROP TABLE stitch_queue;
DROP TABLE search;
DROP TABLE search_keys;
DROP TABLE change_seq;
DROP TABLE final_deletions;
DROP TABLE final_entities;
DROP TABLE relations;
DROP TABLE refresh_keys;
DROP TABLE refresh_claims;
DROP TABLE refresh_edges;
DROP TABLE refresh_queue;
DROP TABLE refresh_state;
