-- The stock user interface goes on with the old name of a role that it has just renamed.
-- The same as in ../postgres.

-- +goose Up
ALTER TABLE rbac_roles ADD COLUMN former_ref TEXT NOT NULL DEFAULT '';  -- before it was renamed last

-- +goose Down
ALTER TABLE rbac_roles DROP COLUMN former_ref;
