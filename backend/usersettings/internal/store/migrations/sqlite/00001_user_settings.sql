-- What users have set, as JSON. The columns of contract/backend.md section 20.
-- The same as in ../postgres.

-- +goose Up
CREATE TABLE user_settings (
    user_entity_ref TEXT NOT NULL,
    bucket          TEXT NOT NULL,
    key             TEXT NOT NULL,
    value           TEXT NOT NULL,             -- JSON, as it was sent
    PRIMARY KEY (user_entity_ref, bucket, key)
);

-- +goose Down
DROP TABLE user_settings;
