-- +goose Up
-- What the OAuth server keeps. Secrets, codes and tokens are hashes.
CREATE TABLE oauth_clients (
    client_id text PRIMARY KEY,
    secret_hash text NOT NULL,
    name text NOT NULL,
    redirect_uris text NOT NULL, -- a JSON array
    created_at timestamptz NOT NULL,
    used_at timestamptz NOT NULL -- when somebody was last asked for it
);
CREATE INDEX oauth_clients_used ON oauth_clients (used_at);

CREATE TABLE oauth_authorizations (
    id text PRIMARY KEY,
    client_id text NOT NULL,
    client_name text NOT NULL,
    redirect_uri text NOT NULL,
    scope text NOT NULL,
    state text NOT NULL,
    nonce text NOT NULL,
    code_challenge text NOT NULL,
    code_challenge_method text NOT NULL,
    user_entity_ref text NOT NULL, -- empty until somebody has decided
    status text NOT NULL, -- pending, approved, rejected
    expires_at timestamptz NOT NULL
);
CREATE INDEX oauth_authorizations_expires ON oauth_authorizations (expires_at);

CREATE TABLE oauth_codes (
    code_hash text PRIMARY KEY,
    authorization_id text NOT NULL REFERENCES oauth_authorizations (id) ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    used boolean NOT NULL
);
CREATE INDEX oauth_codes_authorization ON oauth_codes (authorization_id);

CREATE TABLE oauth_grants (
    id text PRIMARY KEY,
    user_entity_ref text NOT NULL,
    client_id text NOT NULL,
    client_name text NOT NULL,
    scope text NOT NULL,
    token_hash text NOT NULL, -- scrypt, of the refresh token that is in use
    code_hash text NOT NULL, -- of the code that it began with
    created_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    UNIQUE (user_entity_ref, client_id)
);
CREATE INDEX oauth_grants_code ON oauth_grants (code_hash);
CREATE INDEX oauth_grants_used ON oauth_grants (last_used_at);

-- +goose Down
DROP TABLE oauth_grants;
DROP TABLE oauth_codes;
DROP TABLE oauth_authorizations;
DROP TABLE oauth_clients;
