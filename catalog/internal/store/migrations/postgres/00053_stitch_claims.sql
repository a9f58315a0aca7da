-- Whose an entry of the stitch queue is while it is being stitched; 0: nobody's.

-- +goose Up
ALTER TABLE stitch_queue ADD COLUMN claim bigint NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE stitch_queue DROP COLUMN claim;
