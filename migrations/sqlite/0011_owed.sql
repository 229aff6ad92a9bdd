-- A payment that another ledger landed at a shared payout address is settled and
-- owed back: nothing runs for it, and the operator refunds it.
ALTER TABLE payments ADD COLUMN owed INTEGER NOT NULL DEFAULT 0
    CHECK (owed IN (0, 1) AND (owed = 0 OR (state = 'settled' AND delivery = 'none')));
CREATE INDEX payments_owed ON payments (created_at_ms, id) WHERE owed = 1;
CREATE TRIGGER payments_owed_final BEFORE UPDATE OF owed ON payments
WHEN OLD.owed <> NEW.owed AND OLD.state <> 'claimed' AND OLD.state <> 'recorded'
BEGIN SELECT RAISE(ABORT, 'a verdict is final'); END;

-- Which payment a transaction settled: a transfer to a payout address that
-- neither an attempt nor a payment explains is another ledger's.
CREATE INDEX payments_landed ON payments (network, tx) WHERE state = 'settled';
