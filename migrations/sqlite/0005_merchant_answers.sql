-- A foreign server runs its handler for every success it is told of, so a
-- success is told once. One asker at a time holds the row as `telling`, from
-- before the answer until its last byte was taken (`told`) or is known not to
-- have been (`untold`); `tellings` counts how often success may have been said.
-- A payment's `merchant_answer_at_ms`, old ones' too, means told for good.
CREATE TABLE merchant_answers (
    payment        TEXT PRIMARY KEY REFERENCES payments (id),
    state          TEXT NOT NULL CHECK (state IN ('telling', 'told', 'untold')),
    tellings       INTEGER NOT NULL CHECK (tellings >= 0),
    -- Names one telling, so that its end can end no other.
    holder         TEXT,
    owner          TEXT NOT NULL,
    owner_epoch    INTEGER NOT NULL,
    since_ms       INTEGER NOT NULL,
    -- Until when one server alone hears `isValid` of the settled payment.
    check_until_ms INTEGER,
    CHECK (state = 'untold' OR tellings > 0)
) STRICT;
CREATE INDEX merchant_answers_telling ON merchant_answers (owner) WHERE state = 'telling';

CREATE TRIGGER merchant_answers_told_final BEFORE UPDATE OF state ON merchant_answers
WHEN OLD.state = 'told'
BEGIN SELECT RAISE(ABORT, 'what was told stays told'); END;
CREATE TRIGGER payments_told_final BEFORE UPDATE OF merchant_answer_at_ms ON payments
WHEN OLD.merchant_answer_at_ms IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'what was told stays told'); END;
