-- The store: histories, their guards, and what is kept beside them.
-- Ids are UUIDs of 16 bytes, hashes are SHA-256, moments are microseconds since the Unix epoch.
-- Every `body` and `blob` begins with a codec (one byte, 0 is plain) and a key id (two bytes, 0 is none).

-- Workflow definitions by content, each kept once.
CREATE TABLE definition (
    hash BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    body BLOB NOT NULL
) STRICT;

-- The guard of a run: every commit compares and changes this row. Small, and no index holds a column that every commit
-- changes.
CREATE TABLE run (
    run_id     BLOB    NOT NULL PRIMARY KEY CHECK (length(run_id) = 16),
    namespace  TEXT    NOT NULL,
    slot       INTEGER NOT NULL,
    definition BLOB    NOT NULL REFERENCES definition (hash),
    epoch      INTEGER NOT NULL,
    last_seq   INTEGER NOT NULL,
    commit_id  BLOB    NOT NULL, -- of the last commit that was applied
    claims     INTEGER NOT NULL, -- since the last commit
    min_reader INTEGER NOT NULL,
    wake_at    INTEGER           -- 0: active; positive: at this moment; null: on an input; -1: never, the run has ended
) STRICT, WITHOUT ROWID;

CREATE INDEX run_awake ON run (run_id, slot, wake_at) WHERE wake_at >= 0;

-- A run as lists show it; written when the run's state changes.
CREATE TABLE run_view (
    run_id     BLOB    NOT NULL PRIMARY KEY REFERENCES run (run_id),
    namespace  TEXT    NOT NULL,
    workflow   TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    definition BLOB    NOT NULL,
    status     TEXT    NOT NULL,
    steps      INTEGER NOT NULL,
    completed  INTEGER NOT NULL,
    failed     INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    ended_at   INTEGER,
    error      TEXT
) STRICT;

-- Ids sort by creation, so each of these lists newest first when read backwards.
CREATE UNIQUE INDEX run_view_namespace ON run_view (namespace, run_id);
CREATE INDEX run_view_status ON run_view (namespace, status, run_id);
CREATE INDEX run_view_workflow ON run_view (namespace, workflow, run_id);

-- Histories. Appended in the order of arrival, found by the key: measured faster than rows in the order of the key.
CREATE TABLE event (
    run_id  BLOB    NOT NULL REFERENCES run (run_id),
    seq     INTEGER NOT NULL,
    at_us   INTEGER NOT NULL,
    epoch   INTEGER NOT NULL, -- of the owner that wrote it
    kind    INTEGER NOT NULL,
    version INTEGER NOT NULL,
    blob    BLOB    NOT NULL,
    PRIMARY KEY (run_id, seq)
) STRICT;

-- The newest snapshot of a run's state.
CREATE TABLE snapshot (
    run_id BLOB    NOT NULL PRIMARY KEY REFERENCES run (run_id),
    seq    INTEGER NOT NULL,
    schema INTEGER NOT NULL,
    blob   BLOB    NOT NULL
) STRICT;

-- Large values of runs by content. A value may be written before its run, hence no reference.
CREATE TABLE payload (
    run_id BLOB NOT NULL,
    hash   BLOB NOT NULL CHECK (length(hash) = 32),
    body   BLOB NOT NULL,
    PRIMARY KEY (run_id, hash)
) STRICT;

-- Which run a request created.
CREATE TABLE request (
    namespace  TEXT NOT NULL,
    request_id BLOB NOT NULL,
    run_id     BLOB NOT NULL REFERENCES run (run_id),
    PRIMARY KEY (namespace, request_id)
) STRICT, WITHOUT ROWID;
