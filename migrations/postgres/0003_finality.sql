-- A settled payment is watched until its landing is final (invariant I6). A
-- landing that a reorganisation took away for good is booked as a loss; the
-- grant stands.
ALTER TABLE payments ADD COLUMN landed_block BIGINT CHECK (landed_block >= 0);
ALTER TABLE payments ADD COLUMN finality TEXT
    CHECK (finality IS NULL OR (finality IN ('finalized', 'reorged_loss') AND state = 'settled'));
ALTER TABLE payments ADD COLUMN finality_at_ms BIGINT CHECK ((finality_at_ms IS NULL) = (finality IS NULL));
UPDATE payments SET landed_block = (landing::json ->> 'block')::BIGINT WHERE state = 'settled';
CREATE INDEX payments_unfinal ON payments (owner, network, landed_block)
    WHERE state = 'settled' AND finality IS NULL;

CREATE TRIGGER payments_finality_final BEFORE UPDATE OF finality ON payments
FOR EACH ROW WHEN (OLD.finality IS NOT NULL)
EXECUTE FUNCTION quittance_refuse('finality is final');
