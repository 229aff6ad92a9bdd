-- Payments that ended long ago are pruned: row, key and what they came to stay for
-- good, what proved it goes. `pruned_at_ms` says so, and allows it.
ALTER TABLE payments ADD COLUMN pruned_at_ms BIGINT
    CHECK (pruned_at_ms IS NULL OR state IN ('settled', 'refused', 'expired'));
CREATE INDEX payments_finished ON payments (verdict_at_ms, id)
    WHERE pruned_at_ms IS NULL AND verdict_at_ms IS NOT NULL;

CREATE FUNCTION quittance_journal_kept() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
    IF EXISTS (SELECT 1 FROM payments WHERE id = OLD.payment AND pruned_at_ms IS NOT NULL) THEN RETURN OLD; END IF;
    RAISE EXCEPTION 'the journal is append-only';
END $$;
DROP TRIGGER journal_append_only ON journal;
CREATE TRIGGER journal_append_only BEFORE UPDATE ON journal
FOR EACH ROW EXECUTE FUNCTION quittance_refuse('the journal is append-only');
CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal
FOR EACH ROW EXECUTE FUNCTION quittance_journal_kept();

CREATE INDEX tariffs_old ON tariffs (replaced_at_ms) WHERE replaced_at_ms IS NOT NULL;

-- Who prunes, and until when nobody else does.
CREATE TABLE pruning (
    place    BIGINT PRIMARY KEY CHECK (place = 1),
    owner    TEXT NOT NULL,
    until_ms BIGINT NOT NULL
);
INSERT INTO pruning (place, owner, until_ms) VALUES (1, '', 0);
