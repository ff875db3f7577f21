-- Commands for runs that another process drives: whoever takes one in posts it, the run's server takes it from here.

CREATE TABLE inbox (
    run_id     BLOB    NOT NULL REFERENCES run (run_id),
    request_id BLOB    NOT NULL,
    slot       INTEGER NOT NULL, -- of the run
    at_us      INTEGER NOT NULL, -- by the clock of who posted it
    blob       BLOB    NOT NULL,
    PRIMARY KEY (run_id, request_id)
) STRICT;

-- The oldest first. One server has all slots of a file, so that hardly any row that is read is not wanted.
CREATE INDEX inbox_time ON inbox (at_us, slot);

-- What became of a request; it takes the place of the item, in the transaction of the commit that consumed it.
CREATE TABLE inbox_outcome (
    run_id     BLOB    NOT NULL REFERENCES run (run_id),
    request_id BLOB    NOT NULL,
    at_us      INTEGER NOT NULL, -- by the clock of the run's server
    blob       BLOB    NOT NULL,
    PRIMARY KEY (run_id, request_id)
) STRICT;

CREATE INDEX inbox_outcome_time ON inbox_outcome (at_us);
