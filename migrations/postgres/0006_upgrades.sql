-- What versions of the program that share a database tell each other.

-- Programs that know at least this version of the tables work with what is here, whatever newer ones have added. A migration
-- that programs of before do not survive raises it; each says in a comment which it is.
CREATE TABLE compatibility (
    oldest INTEGER NOT NULL
);

INSERT INTO compatibility (oldest) VALUES (6);

-- The newest format of histories that a server reads. Servers that do not say so are of before this column.
ALTER TABLE server ADD COLUMN reads INTEGER NOT NULL DEFAULT 3;
