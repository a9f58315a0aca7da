-- Roles, their rules, members and conditions; and the number of the state that they make.
-- The same as in ../postgres.

-- +goose Up

-- One row: every change of the other tables adds one to it, in its transaction.
CREATE TABLE rbac_version (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL
);
INSERT INTO rbac_version (id, version) VALUES (1, 0);

CREATE TABLE rbac_roles (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    ref         TEXT NOT NULL UNIQUE,
    source      TEXT NOT NULL,
    description TEXT,                          -- NULL: never said
    owner       TEXT,                          -- NULL: never said
    author      TEXT NOT NULL,
    modified_by TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
);

-- A rule may stand without its role: it counts once the role has members.
CREATE TABLE rbac_rules (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    subject    TEXT NOT NULL,
    permission TEXT NOT NULL,
    action     TEXT NOT NULL,
    effect     TEXT NOT NULL,
    source     TEXT NOT NULL,
    UNIQUE (subject, permission, action, effect)
);

CREATE TABLE rbac_members (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    ref    TEXT NOT NULL,
    role   TEXT NOT NULL,
    source TEXT NOT NULL,
    UNIQUE (role, ref)
);

CREATE TABLE rbac_conditions (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    role          TEXT NOT NULL,
    plugin        TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    mapping       TEXT NOT NULL,               -- JSON array of {"Name", "Action"}
    criteria      TEXT NOT NULL                -- JSON, as on the wire
);

CREATE TABLE rbac_plugins (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    plugin_id TEXT NOT NULL UNIQUE
);

-- +goose Down
DROP TABLE rbac_plugins;
DROP TABLE rbac_conditions;
DROP TABLE rbac_members;
DROP TABLE rbac_rules;
DROP TABLE rbac_roles;
DROP TABLE rbac_version;
