-- +goose Up
CREATE TABLE things (
	id         text PRIMARY KEY,
	parent     text REFERENCES things (id) ON DELETE CASCADE,
	count      bigint NOT NULL DEFAULT 0 CHECK (count >= 0),
	ratio      double precision,
	done       boolean NOT NULL DEFAULT false,
	body       jsonb,
	raw        bytea,
	created_at timestamptz
);
