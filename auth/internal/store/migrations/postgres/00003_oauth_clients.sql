-- +goose Up
-- What a client has registered to be limited to; empty means no limit.
ALTER TABLE oauth_clients ADD COLUMN scope text NOT NULL DEFAULT '';
ALTER TABLE oauth_clients ADD COLUMN grant_types text NOT NULL DEFAULT '[]'; -- a JSON array
ALTER TABLE oauth_clients ADD COLUMN response_types text NOT NULL DEFAULT '[]'; -- a JSON array

-- +goose Down
ALTER TABLE oauth_clients DROP COLUMN scope;
ALTER TABLE oauth_clients DROP COLUMN grant_types;
ALTER TABLE oauth_clients DROP COLUMN response_types;
