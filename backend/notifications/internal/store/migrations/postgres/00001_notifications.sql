-- +goose Up
CREATE TABLE notification (
    id text PRIMARY KEY,
    "user" text NOT NULL,
    origin text NOT NULL,
    title text NOT NULL,
    description text,
    link text,
    topic text,
    severity smallint NOT NULL, -- 0 critical to 3 low
    scope text,
    icon text,
    created timestamptz NOT NULL,
    updated timestamptz,
    read timestamptz,
    saved timestamptz
);
CREATE INDEX notification_list ON notification ("user", created DESC, id);
CREATE UNIQUE INDEX notification_scope ON notification ("user", origin, scope) WHERE scope IS NOT NULL;
CREATE INDEX notification_created ON notification (created);

CREATE TABLE broadcast (
    id text PRIMARY KEY,
    origin text NOT NULL,
    title text NOT NULL,
    description text,
    link text,
    topic text,
    severity smallint NOT NULL,
    scope text,
    icon text,
    created timestamptz NOT NULL,
    updated timestamptz
);
CREATE INDEX broadcast_list ON broadcast (created DESC, id);
CREATE UNIQUE INDEX broadcast_scope ON broadcast (origin, scope) WHERE scope IS NOT NULL;

CREATE TABLE broadcast_user_status (
    broadcast_id text NOT NULL REFERENCES broadcast (id) ON DELETE CASCADE,
    "user" text NOT NULL,
    read timestamptz,
    saved timestamptz,
    PRIMARY KEY ("user", broadcast_id)
);
CREATE INDEX broadcast_user_status_broadcast ON broadcast_user_status (broadcast_id);

CREATE TABLE user_settings (
    "user" text NOT NULL,
    channel text NOT NULL,
    origin text NOT NULL, -- empty: the whole channel
    topic text NOT NULL,  -- empty: the whole origin
    enabled boolean NOT NULL,
    PRIMARY KEY ("user", channel, origin, topic)
);

-- What processors have to do yet.
CREATE TABLE delivery (
    id text PRIMARY KEY,
    processor text NOT NULL,
    job text NOT NULL, -- JSON
    attempts integer NOT NULL,
    due timestamptz NOT NULL
);
CREATE INDEX delivery_due ON delivery (due, id);

-- +goose Down
DROP TABLE delivery;
DROP TABLE user_settings;
DROP TABLE broadcast_user_status;
DROP TABLE broadcast;
DROP TABLE notification;
