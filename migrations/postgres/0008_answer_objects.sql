-- Answers that are too long for the ledger lie in a file or object store, under
-- a random name and encrypted with a key of their own that is here and nowhere
-- else: without the key the answer is gone. The row comes before the first
-- object, so whatever the store holds of ours has a row until it is deleted.
CREATE TABLE answer_objects (
    name          TEXT PRIMARY KEY CHECK (length(name) = 32),
    payment       TEXT NOT NULL REFERENCES payments (id),
    run           BIGINT NOT NULL CHECK (run > 0),
    key           BYTEA CHECK (length(key) = 32),
    bytes         BIGINT NOT NULL CHECK (bytes >= 0),
    state         TEXT NOT NULL CHECK (state IN ('writing', 'kept', 'dropped')),
    instance      TEXT NOT NULL,
    at_ms         BIGINT NOT NULL,
    dropped_at_ms BIGINT,
    deleted_at_ms BIGINT,
    CHECK ((state = 'dropped') = (key IS NULL)),
    CHECK ((state = 'dropped') = (dropped_at_ms IS NOT NULL)),
    CHECK (deleted_at_ms IS NULL OR state = 'dropped')
);
CREATE INDEX answer_objects_payment ON answer_objects (payment);
CREATE INDEX answer_objects_leftover ON answer_objects (state) WHERE state <> 'kept';

ALTER TABLE answers ADD COLUMN object TEXT;

-- A run that completed, whose answer is not kept and, as far as we know, did
-- not reach its client whole: it never runs again, and is refundable.
ALTER TABLE payments ADD COLUMN delivered_in_part BOOLEAN NOT NULL DEFAULT FALSE
    CHECK (NOT delivered_in_part OR delivery = 'delivered');
UPDATE payments SET delivered_in_part = TRUE
    WHERE delivery = 'delivered' AND first_answer_at_ms IS NULL
    AND EXISTS (SELECT 1 FROM answers WHERE payment = payments.id AND (truncated OR body IS NULL));
