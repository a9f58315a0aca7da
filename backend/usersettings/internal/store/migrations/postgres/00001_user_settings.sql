-- What users have set, as JSON. The columns of contract/backend.md section 20.

-- +goose Up
CREATE TABLE user_settings (
    user_entity_ref text COLLATE "C" NOT NULL,
    bucket          text COLLATE "C" NOT NULL,
    key             text COLLATE "C" NOT NULL,
    value           text NOT NULL,             -- JSON, as it was sent
    PRIMARY KEY (user_entity_ref, bucket, key)
);

-- +goose Down
DROP TABLE user_settings;
