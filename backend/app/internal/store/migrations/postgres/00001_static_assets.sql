-- +goose Up
CREATE TABLE static_assets_cache (
    namespace text NOT NULL, -- default, or public for the public entry point
    path text NOT NULL,
    content bytea NOT NULL,
    last_modified_at timestamptz NOT NULL, -- when a replica with this file was last seen
    PRIMARY KEY (namespace, path)
);
CREATE INDEX static_assets_cache_age ON static_assets_cache (last_modified_at);

-- +goose Down
DROP TABLE static_assets_cache;
