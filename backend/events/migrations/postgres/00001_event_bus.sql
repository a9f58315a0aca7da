-- +goose Up
CREATE TABLE event_bus_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- in the order of commits
    created_at timestamptz NOT NULL DEFAULT now(),
    topic text NOT NULL,
    data_json text NOT NULL, -- {payload, metadata}; jsonb would refuse \u0000
    notified_subscribers text[] NOT NULL DEFAULT '{}'
);
CREATE INDEX event_bus_events_topic ON event_bus_events (topic, id);
CREATE INDEX event_bus_events_created ON event_bus_events (created_at);

CREATE TABLE event_bus_subscriptions (
    id text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), -- when somebody last read
    topics text[] NOT NULL,
    read_until bigint NOT NULL, -- events up to this one are handled
    missed integer NOT NULL DEFAULT 0, -- events that were deleted unread
    reader text, -- has events in hand
    reader_until timestamptz
);

-- +goose Down
DROP TABLE event_bus_subscriptions;
DROP TABLE event_bus_events;
