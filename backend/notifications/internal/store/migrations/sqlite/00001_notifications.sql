-- +goose Up
CREATE TABLE notification (
    id TEXT PRIMARY KEY,
    "user" TEXT NOT NULL,
    origin TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT,
    link TEXT,
    topic TEXT,
    severity INTEGER NOT NULL, -- 0 critical to 3 low
    scope TEXT,
    icon TEXT,
    created INTEGER NOT NULL,
    updated INTEGER,
    read INTEGER,
    saved INTEGER
);
CREATE INDEX notification_list ON notification ("user", created DESC, id);
CREATE UNIQUE INDEX notification_scope ON notification ("user", origin, scope) WHERE scope IS NOT NULL;
CREATE INDEX notification_created ON notification (created);

CREATE TABLE broadcast (
    id TEXT PRIMARY KEY,
    origin TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT,
    link TEXT,
    topic TEXT,
    severity INTEGER NOT NULL,
    scope TEXT,
    icon TEXT,
    created INTEGER NOT NULL,
    updated INTEGER
);
CREATE INDEX broadcast_list ON broadcast (created DESC, id);
CREATE UNIQUE INDEX broadcast_scope ON broadcast (origin, scope) WHERE scope IS NOT NULL;

CREATE TABLE broadcast_user_status (
    broadcast_id TEXT NOT NULL REFERENCES broadcast (id) ON DELETE CASCADE,
    "user" TEXT NOT NULL,
    read INTEGER,
    saved INTEGER,
    PRIMARY KEY ("user", broadcast_id)
);
CREATE INDEX broadcast_user_status_broadcast ON broadcast_user_status (broadcast_id);

CREATE TABLE user_settings (
    "user" TEXT NOT NULL,
    channel TEXT NOT NULL,
    origin TEXT NOT NULL, -- empty: the whole channel
    topic TEXT NOT NULL,  -- empty: the whole origin
    enabled INTEGER NOT NULL,
    PRIMARY KEY ("user", channel, origin, topic)
);

-- What processors have to do yet.
CREATE TABLE delivery (
    id TEXT PRIMARY KEY,
    processor TEXT NOT NULL,
    job TEXT NOT NULL, -- JSON
    attempts INTEGER NOT NULL,
    due INTEGER NOT NULL
);
CREATE INDEX delivery_due ON delivery (due, id);

-- +goose Down
DROP TABLE delivery;
DROP TABLE user_settings;
DROP TABLE broadcast_user_status;
DROP TABLE broadcast;
DROP TABLE notification;
