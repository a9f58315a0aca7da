-- Deleted entities, for as long as they can come back by one call; and all references
-- of a held removal, so that releasing it is the removal.

-- +goose Up

-- The latest deletion of each reference that was served.
CREATE TABLE trash (
    ref         text COLLATE "C" PRIMARY KEY,
    uid         text COLLATE "C" NOT NULL,
    entity      bytea NOT NULL,                -- as it was served
    unprocessed bytea NOT NULL,                -- JSON, as the source gave it
    registered  boolean NOT NULL,              -- it was the entity of a registered location
    deleted_at  timestamptz NOT NULL
);
CREATE INDEX trash_by_time ON trash (deleted_at);

-- The next listing holds again what it has to, with all references.
DELETE FROM held_removals;
ALTER TABLE held_removals DROP COLUMN released;

-- +goose Down
ALTER TABLE held_removals ADD COLUMN released boolean NOT NULL DEFAULT false;
DROP TABLE trash;
