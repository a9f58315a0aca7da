-- +goose Up
ALTER TABLE things ADD COLUMN name TEXT;
CREATE INDEX things_name ON things (name);
