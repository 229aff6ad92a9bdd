-- A payment that another ledger landed at a shared payout address is settled and
-- owed back: nothing runs for it, and the operator refunds it.
ALTER TABLE payments ADD COLUMN owed BOOLEAN NOT NULL DEFAULT FALSE
    CHECK (NOT owed OR (state = 'settled' AND delivery = 'none'));
CREATE INDEX payments_owed ON payments (created_at_ms, id) WHERE owed;
CREATE TRIGGER payments_owed_final BEFORE UPDATE OF owed ON payments
FOR EACH ROW WHEN (OLD.owed <> NEW.owed AND OLD.state NOT IN ('claimed', 'recorded'))
EXECUTE FUNCTION quittance_refuse('a verdict is final');

-- Which payment a transaction settled: a transfer to a payout address that
-- neither an attempt nor a payment explains is another ledger's.
CREATE INDEX payments_landed ON payments (network, tx) WHERE state = 'settled';
