-- What costs less to write while entities are ingested.

-- +goose Up

-- Relations are unique because their writer holds the row of their origin, and compares
-- before it writes. They go with the statement that deletes their origin. A trigger of a foreign
-- key would look the origin up for every row.
ALTER TABLE relations DROP CONSTRAINT relations_originating_id_fkey;
ALTER TABLE relations DROP CONSTRAINT relations_pkey;
DROP INDEX relations_by_source;
CREATE INDEX relations_by_origin ON relations (originating_id);
CREATE INDEX relations_by_source ON relations (source_ref);

-- Documents of the usual size stay in their row as they are: compressing them costs
-- more than anything else that is done with them.
ALTER TABLE refresh_state SET (toast_tuple_target = 8160);
ALTER TABLE final_entities SET (toast_tuple_target = 8160);

-- Entries that are queued again while they wait are written over in their page.
ALTER TABLE stitch_queue SET (fillfactor = 50);

-- +goose Down
ALTER TABLE stitch_queue RESET (fillfactor);
ALTER TABLE final_entities RESET (toast_tuple_target);
ALTER TABLE refresh_state RESET (toast_tuple_target);
DROP INDEX relations_by_source, relations_by_origin;
CREATE INDEX relations_by_source ON relations (source_ref, type, target_ref);
ALTER TABLE relations ADD PRIMARY KEY (originating_id, source_ref, type, target_ref);
ALTER TABLE relations ADD FOREIGN KEY (originating_id) REFERENCES refresh_state ON DELETE CASCADE;
