-- Deleted entities, for as long as they can come back by one call; and all references
-- of a held removal, so that releasing it is the removal. The same as in ../postgres.

-- +goose Up

-- The latest deletion of each reference that was served.
CREATE TABLE trash (
    ref         TEXT PRIMARY KEY,
    uid         TEXT NOT NULL,
    entity      BLOB NOT NULL,                -- as it was served
    unprocessed BLOB NOT NULL,                -- JSON, as the source gave it
    registered  INTEGER NOT NULL,             -- it was the entity of a registered location
    deleted_at  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX trash_by_time ON trash (deleted_at);

-- The next listing holds again what it has to, with all references.
DELETE FROM held_removals;
ALTER TABLE held_removals DROP COLUMN released;

-- +goose Down
ALTER TABLE held_removals ADD COLUMN released INTEGER NOT NULL DEFAULT 0;
DROP TABLE trash;
