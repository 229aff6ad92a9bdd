-- Payments of merchants with a row of their own say who carries what settling them costs;
-- earlier ones, the gate's and those without a key have neither word nor sum.
ALTER TABLE payments ADD COLUMN fee_policy TEXT
    CHECK (fee_policy IS NULL OR (fee_policy IN ('added', 'absorbed', 'billed') AND origin = 'merchant'));
ALTER TABLE payments ADD COLUMN fee_carried BIGINT NOT NULL DEFAULT 0
    CHECK (fee_carried >= 0 AND (fee_carried = 0 OR COALESCE(fee_policy, '') IN ('absorbed', 'billed')));
CREATE TRIGGER payments_fee_fixed BEFORE UPDATE OF merchant, fee_policy, fee_carried ON payments
FOR EACH ROW EXECUTE FUNCTION quittance_refuse('a claim does not change');

-- What of its limits a merchant has under way.
ALTER TABLE reservations ADD COLUMN merchant TEXT;
CREATE INDEX reservations_merchant ON reservations (merchant) WHERE merchant IS NOT NULL;
