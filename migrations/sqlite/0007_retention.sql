-- What removing runs needs: to find what belongs to a run or uses a definition, and what stays of a run.

-- When a definition was first seen to be used by no run; null if it is used, or nobody looked.
ALTER TABLE definition ADD COLUMN unused_since INTEGER;

-- No commit changes what these hold. Without them each removal would look through all runs for references.
CREATE INDEX run_definition ON run (definition);
CREATE INDEX request_run ON request (run_id);
CREATE INDEX run_key_run ON run_key (run_id);

-- What stays of runs that were removed.
CREATE TABLE tombstone (
    run_id    BLOB    NOT NULL PRIMARY KEY CHECK (length(run_id) = 16),
    namespace TEXT    NOT NULL,
    workflow  TEXT    NOT NULL,
    status    TEXT    NOT NULL, -- in which it ended
    ended_at  INTEGER NOT NULL,
    purged_at INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL, -- how many events it had
    history   BLOB    NOT NULL  -- their hash
) STRICT, WITHOUT ROWID;
