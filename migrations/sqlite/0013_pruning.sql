-- Payments that ended long ago are pruned: row, key and what they came to stay for
-- good, what proved it goes. `pruned_at_ms` says so, and allows it.
ALTER TABLE payments ADD COLUMN pruned_at_ms INTEGER
    CHECK (pruned_at_ms IS NULL OR state IN ('settled', 'refused', 'expired'));
CREATE INDEX payments_finished ON payments (verdict_at_ms, id)
    WHERE pruned_at_ms IS NULL AND verdict_at_ms IS NOT NULL;

DROP TRIGGER journal_no_delete;
CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal
WHEN NOT EXISTS (SELECT 1 FROM payments WHERE id = OLD.payment AND pruned_at_ms IS NOT NULL)
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

CREATE INDEX tariffs_old ON tariffs (replaced_at_ms) WHERE replaced_at_ms IS NOT NULL;

-- Who prunes, and until when nobody else does.
CREATE TABLE pruning (
    place    INTEGER PRIMARY KEY CHECK (place = 1),
    owner    TEXT NOT NULL,
    until_ms INTEGER NOT NULL
) STRICT;
INSERT INTO pruning (place, owner, until_ms) VALUES (1, '', 0);
