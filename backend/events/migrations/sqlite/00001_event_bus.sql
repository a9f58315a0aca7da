-- +goose Up
-- On SQLite the bus is in memory: there is one process, and what it has not handled
-- when it ends is published anew by whoever watches the source.
SELECT 1;

-- +goose Down
SELECT 1;
