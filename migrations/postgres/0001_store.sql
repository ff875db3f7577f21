-- The store: histories, their guards, and what is kept beside them.
-- Hashes are SHA-256, moments are microseconds since the Unix epoch.
-- Every `body` and `blob` begins with a codec (one byte, 0 is plain) and a key id (two bytes, 0 is none).
-- Texts compare by their bytes, so that no index depends on the libraries of the machine. In texts that callers write
-- freely, a NUL, which PostgreSQL cannot keep, stands as U+0010 "0", and U+0010 itself is doubled.
--
-- No table refers to another: the guard row of a run, which every write of it locks, says all that a reference could, and
-- a reference would lock it once more for each event.

-- Workflow definitions by content, each kept once.
CREATE TABLE definition (
    hash BYTEA NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    body BYTEA NOT NULL
);

-- The guard of a run: every commit locks, compares and changes this row. Small, with room for new versions on its page, and
-- no index holds a column that every commit changes.
CREATE TABLE run (
    run_id     UUID    NOT NULL PRIMARY KEY,
    namespace  TEXT    COLLATE "C" NOT NULL,
    slot       INTEGER NOT NULL,
    definition BYTEA   NOT NULL,
    epoch      BIGINT  NOT NULL,
    last_seq   BIGINT  NOT NULL,
    commit_id  UUID    NOT NULL, -- of the last commit that was applied
    claims     BIGINT  NOT NULL, -- since the last commit
    min_reader INTEGER NOT NULL,
    wake_at    BIGINT            -- 0: active; positive: at this moment; null: on an input; -1: never, the run has ended
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX run_awake ON run (run_id, slot, wake_at) WHERE wake_at >= 0;

-- A run as lists show it; written when the run's state changes.
CREATE TABLE run_view (
    run_id     UUID   NOT NULL PRIMARY KEY,
    namespace  TEXT   COLLATE "C" NOT NULL,
    workflow   TEXT   COLLATE "C" NOT NULL,
    version    TEXT   COLLATE "C" NOT NULL,
    definition BYTEA  NOT NULL,
    status     TEXT   COLLATE "C" NOT NULL,
    steps      BIGINT NOT NULL,
    completed  BIGINT NOT NULL,
    failed     BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    ended_at   BIGINT,
    error      TEXT   COLLATE "C",
    key        TEXT   COLLATE "C", -- the caller's name for what the run is to achieve; null if there is none
    session    TEXT   COLLATE "C", -- null if there is none
    labels     TEXT[] COLLATE "C" NOT NULL -- each as name=value, in the order of the names
) WITH (fillfactor = 70);

-- Ids sort by creation, so each of these lists newest first when read backwards.
CREATE UNIQUE INDEX run_view_namespace ON run_view (namespace, run_id);
CREATE INDEX run_view_status ON run_view (namespace, status, run_id);
CREATE INDEX run_view_workflow ON run_view (namespace, workflow, run_id);
-- Runs without a session or a key cost these nothing.
CREATE INDEX run_view_session ON run_view (namespace, session, run_id) WHERE session IS NOT NULL;
CREATE INDEX run_view_key ON run_view (namespace, key, run_id) WHERE key IS NOT NULL;

-- Histories. Only ever appended to.
CREATE TABLE event (
    run_id  UUID    NOT NULL,
    seq     BIGINT  NOT NULL,
    at_us   BIGINT  NOT NULL,
    epoch   BIGINT  NOT NULL, -- of the owner that wrote it
    kind    INTEGER NOT NULL,
    version INTEGER NOT NULL,
    blob    BYTEA   NOT NULL,
    PRIMARY KEY (run_id, seq)
);

-- The newest snapshot of a run's state.
CREATE TABLE snapshot (
    run_id UUID    NOT NULL PRIMARY KEY,
    seq    BIGINT  NOT NULL,
    schema INTEGER NOT NULL,
    blob   BYTEA   NOT NULL
);

-- Large values of runs by content. A value may be written before its run.
CREATE TABLE payload (
    run_id UUID  NOT NULL,
    hash   BYTEA NOT NULL CHECK (length(hash) = 32),
    body   BYTEA NOT NULL,
    PRIMARY KEY (run_id, hash)
);

-- Which run a request created.
CREATE TABLE request (
    namespace  TEXT COLLATE "C" NOT NULL,
    request_id UUID NOT NULL,
    run_id     UUID NOT NULL,
    PRIMARY KEY (namespace, request_id)
);

-- Which run a key names: the last one that took it.
CREATE TABLE run_key (
    namespace TEXT COLLATE "C" NOT NULL,
    key       TEXT COLLATE "C" NOT NULL,
    run_id    UUID NOT NULL,
    PRIMARY KEY (namespace, key)
);

-- Documents by name: registered workflows, agents, tokens, namespaces. A name is kept as its bytes, by which it sorts.
CREATE TABLE record (
    kind      TEXT   COLLATE "C" NOT NULL,
    namespace TEXT   COLLATE "C" NOT NULL,
    name      BYTEA  NOT NULL,
    revision  BIGINT NOT NULL, -- how often it was written
    body      BYTEA  NOT NULL,
    PRIMARY KEY (kind, namespace, name)
);
