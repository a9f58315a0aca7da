-- +goose Up
ALTER TABLE things ADD COLUMN name text;
CREATE INDEX things_name ON things (name);
