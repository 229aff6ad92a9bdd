-- Answers that are too long for the ledger lie in a file or object store, under
-- a random name and encrypted with a key of their own that is here and nowhere
-- else: without the key the answer is gone. The row comes before the first
-- object, so whatever the store holds of ours has a row until it is deleted.
CREATE TABLE answer_objects (
    name          TEXT PRIMARY KEY CHECK (length(name) = 32),
    payment       TEXT NOT NULL REFERENCES payments (id),
    run           INTEGER NOT NULL CHECK (run > 0),
    key           BLOB CHECK (length(key) = 32),
    bytes         INTEGER NOT NULL CHECK (bytes >= 0),
    state         TEXT NOT NULL CHECK (state IN ('writing', 'kept', 'dropped')),
    instance      TEXT NOT NULL,
    at_ms         INTEGER NOT NULL,
    dropped_at_ms INTEGER,
    deleted_at_ms INTEGER,
    CHECK ((state = 'dropped') = (key IS NULL)),
    CHECK ((state = 'dropped') = (dropped_at_ms IS NOT NULL)),
    CHECK (deleted_at_ms IS NULL OR state = 'dropped')
) STRICT;
CREATE INDEX answer_objects_payment ON answer_objects (payment);
CREATE INDEX answer_objects_leftover ON answer_objects (state) WHERE state <> 'kept';

ALTER TABLE answers ADD COLUMN object TEXT;

-- A run that completed, whose answer is not kept and, as far as we know, did
-- not reach its client whole: it never runs again, and is refundable.
ALTER TABLE payments ADD COLUMN delivered_in_part INTEGER NOT NULL DEFAULT 0
    CHECK (delivered_in_part IN (0, 1) AND (delivered_in_part = 0 OR delivery = 'delivered'));
UPDATE payments SET delivered_in_part = 1
    WHERE delivery = 'delivered' AND first_answer_at_ms IS NULL
    AND EXISTS (SELECT 1 FROM answers WHERE payment = payments.id AND (truncated = 1 OR body IS NULL));
