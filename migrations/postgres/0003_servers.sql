-- What servers need that share a database: which of them has which slots, and commands for runs of each other.

-- Commands that wait for the server of their run.
CREATE TABLE inbox (
    run_id     UUID    NOT NULL,
    request_id UUID    NOT NULL,
    slot       INTEGER NOT NULL, -- of the run
    at_us      BIGINT  NOT NULL,
    blob       BYTEA   NOT NULL,
    PRIMARY KEY (run_id, request_id)
) WITH (autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX inbox_slot ON inbox (slot, at_us);

-- What became of commands, for a while.
CREATE TABLE inbox_outcome (
    run_id     UUID   NOT NULL,
    request_id UUID   NOT NULL,
    at_us      BIGINT NOT NULL,
    outcome    BYTEA  NOT NULL, -- begins as every blob does
    PRIMARY KEY (run_id, request_id)
);

CREATE INDEX inbox_outcome_at ON inbox_outcome (at_us);

-- Servers. No index holds a column that a renewal changes.
CREATE TABLE server (
    id          TEXT        COLLATE "C" NOT NULL PRIMARY KEY,
    incarnation BIGINT      NOT NULL, -- how often a server joined under this id
    lease_until TIMESTAMPTZ NOT NULL, -- by the clock of the database
    lease_us    BIGINT                -- how long a renewal lasts; null: it left
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- Who has a slot: null is nobody. One whose server's lease is over may be taken.
CREATE TABLE slot (
    slot   INTEGER NOT NULL PRIMARY KEY,
    server TEXT    COLLATE "C"
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

INSERT INTO slot (slot) SELECT * FROM generate_series(0, 1023);
