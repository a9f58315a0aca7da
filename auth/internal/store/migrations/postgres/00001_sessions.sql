-- +goose Up
-- The table and its columns are those of the reference: what is stored stays in use.
CREATE TABLE IF NOT EXISTS user_info (
    user_entity_ref text PRIMARY KEY,
    user_info text NOT NULL, -- {"claims": {"sub", "ent", ...}}
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE user_sessions (
    id text PRIMARY KEY,
    user_entity_ref text NOT NULL, -- empty if nobody was looked up in the catalog
    provider text NOT NULL,
    env text NOT NULL,
    client text NOT NULL, -- the browser, as it names itself
    token_hash text NOT NULL, -- SHA-256 of the refresh token that is in use
    created_at timestamptz NOT NULL,
    refreshed_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX user_sessions_user ON user_sessions (user_entity_ref, created_at);
CREATE INDEX user_sessions_expires ON user_sessions (expires_at);

CREATE TABLE session_refreshes (
    token_hash text PRIMARY KEY, -- of the refresh token that was, or is being, used
    session_id text NOT NULL REFERENCES user_sessions (id) ON DELETE CASCADE,
    holder text NOT NULL, -- whoever asks the identity provider
    scope text NOT NULL,
    state text NOT NULL, -- running, done, or lost with the process that held it
    lease_until timestamptz NOT NULL,
    done_at timestamptz,
    answer text, -- sealed, for those who wait for it
    next_token text, -- sealed, the refresh token that came
    next_hash text -- of it
);
CREATE INDEX session_refreshes_session ON session_refreshes (session_id);
CREATE INDEX session_refreshes_done ON session_refreshes (done_at);

-- +goose Down
DROP TABLE session_refreshes;
DROP TABLE user_sessions;
DROP TABLE user_info;
