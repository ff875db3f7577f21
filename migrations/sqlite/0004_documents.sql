-- What callers say of runs beside their workflow, and documents that are kept by name.

-- The caller's name for what a run is to achieve; null if there is none.
ALTER TABLE run_view ADD COLUMN key TEXT;
-- The session that a run belongs to; null if there is none.
ALTER TABLE run_view ADD COLUMN session TEXT;
-- A JSON object of texts.
ALTER TABLE run_view ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';

-- Runs without a session cost these nothing.
CREATE INDEX run_view_session ON run_view (namespace, session, run_id) WHERE session IS NOT NULL;
CREATE INDEX run_view_key ON run_view (namespace, key, run_id) WHERE key IS NOT NULL;

-- Which run a key names: the last one that took it.
CREATE TABLE run_key (
    namespace TEXT NOT NULL,
    key       TEXT NOT NULL,
    run_id    BLOB NOT NULL REFERENCES run (run_id),
    PRIMARY KEY (namespace, key)
) STRICT, WITHOUT ROWID;

-- Documents by name: registered workflows, agents, tokens, namespaces.
CREATE TABLE record (
    kind      TEXT    NOT NULL,
    namespace TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    revision  INTEGER NOT NULL, -- how often it was written
    body      BLOB    NOT NULL,
    PRIMARY KEY (kind, namespace, name)
) STRICT;
