-- What removing runs needs: to find what belongs to a run or uses a definition, and what stays of a run.

-- When a definition was first seen to be used by no run; null if it is used, or nobody looked.
ALTER TABLE definition ADD COLUMN unused_since BIGINT;

-- No commit changes what these hold.
CREATE INDEX run_definition ON run (definition);
CREATE INDEX request_run ON request (run_id);
CREATE INDEX run_key_run ON run_key (run_id);

-- What stays of runs that were removed.
CREATE TABLE tombstone (
    run_id    UUID   NOT NULL PRIMARY KEY,
    namespace TEXT   COLLATE "C" NOT NULL,
    workflow  TEXT   COLLATE "C" NOT NULL,
    status    TEXT   COLLATE "C" NOT NULL, -- in which it ended
    ended_at  BIGINT NOT NULL,
    purged_at BIGINT NOT NULL,
    last_seq  BIGINT NOT NULL, -- how many events it had
    history   BYTEA  NOT NULL  -- their hash
);
