-- Clients that repeat a call sign anew each time. A further authorization for a
-- request that its payer has paid already, and has no complete answer to, is an
-- alias of that payment: never signed, never sent, never charged.
CREATE TABLE aliases (
    payment_key      BYTEA PRIMARY KEY CHECK (length(payment_key) = 32),
    payment          TEXT NOT NULL REFERENCES payments (id),
    signature_digest BYTEA NOT NULL CHECK (length(signature_digest) = 32),
    identifier       BYTEA CHECK (length(identifier) = 32),
    amount           BIGINT NOT NULL CHECK (amount >= 0),
    at_ms            BIGINT NOT NULL
);
CREATE INDEX aliases_payment ON aliases (payment);

-- A key is a payment's or an alias's, never both (invariant I1). The row is
-- left out, as `ON CONFLICT DO NOTHING` leaves it out. Whoever writes a key
-- holds its lock until the end of the transaction, so that of two replicas the
-- second sees what the first one wrote.
CREATE FUNCTION quittance_lock_key(key BYTEA) RETURNS VOID LANGUAGE sql AS
$$ SELECT pg_advisory_xact_lock(hashtextextended(encode(key, 'hex'), 0)) $$;
CREATE FUNCTION quittance_key_free() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
    PERFORM quittance_lock_key(NEW.payment_key);
    IF TG_TABLE_NAME = 'payments' THEN
        IF EXISTS (SELECT 1 FROM aliases WHERE payment_key = NEW.payment_key) THEN RETURN NULL; END IF;
    ELSE
        IF EXISTS (SELECT 1 FROM payments WHERE payment_key = NEW.payment_key) THEN RETURN NULL; END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER aliases_key_free BEFORE INSERT ON aliases
FOR EACH ROW EXECUTE FUNCTION quittance_key_free();
CREATE TRIGGER payments_key_free BEFORE INSERT ON payments
FOR EACH ROW EXECUTE FUNCTION quittance_key_free();

-- What a payer calls a purchase (`payment-identifier`, `Idempotency-Key`) names
-- one payment of theirs at a gate or merchant. Words that an offer suggested
-- are not the payer's and stand only in `payments.identifier`.
CREATE TABLE identifiers (
    scope      TEXT NOT NULL,
    payer      TEXT NOT NULL,
    identifier BYTEA NOT NULL CHECK (length(identifier) = 32),
    payment    TEXT NOT NULL REFERENCES payments (id) DEFERRABLE INITIALLY DEFERRED,
    PRIMARY KEY (scope, payer, identifier)
);
CREATE INDEX identifiers_payment ON identifiers (payment);
INSERT INTO identifiers (scope, payer, identifier, payment)
SELECT CASE origin WHEN 'gate' THEN 'gate' ELSE 'merchant:' || merchant END, payer, identifier, id
FROM payments WHERE identifier IS NOT NULL AND get_byte(identifier, 0) < 128
ORDER BY state IN ('refused', 'expired'), created_at_ms, id
ON CONFLICT DO NOTHING;

-- Runs that this program ended itself (a restart, a lost lease) do not count
-- against the runs that a payment may buy.
ALTER TABLE payments ADD COLUMN runs_interrupted BIGINT NOT NULL DEFAULT 0
    CHECK (runs_interrupted >= 0 AND runs_interrupted <= runs);
-- When a run last ended without an answer.
ALTER TABLE payments ADD COLUMN credited_at_ms BIGINT;
UPDATE payments SET credited_at_ms = COALESCE(delivery_since_ms, created_at_ms)
WHERE delivery = 'credited' OR runs > 1;

-- What a fresh authorization may be answered from, by payer and request.
CREATE INDEX payments_unanswered ON payments (payer, fingerprint)
WHERE origin = 'gate' AND first_answer_at_ms IS NULL AND state IN ('claimed', 'recorded', 'settled');
