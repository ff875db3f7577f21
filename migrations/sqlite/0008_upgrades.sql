-- Programs that know at least this version of the tables work with what is here, whatever newer ones have added. A migration
-- that programs of before do not survive raises it; each says in a comment which it is.
CREATE TABLE compatibility (
    oldest INTEGER NOT NULL
) STRICT;

INSERT INTO compatibility (oldest) VALUES (8);
