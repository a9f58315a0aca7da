-- +goose Up
CREATE TABLE things (
	id         TEXT PRIMARY KEY,
	parent     TEXT REFERENCES things (id) ON DELETE CASCADE,
	count      INTEGER NOT NULL DEFAULT 0 CHECK (count >= 0),
	ratio      REAL,
	done       INTEGER NOT NULL DEFAULT false,
	body       TEXT,
	raw        BLOB,
	created_at INTEGER
);
