-- What a request or a frequent timer asks ends after a few rows, however many
-- payments the day had. The owner's epoch is in the index, so that taking over
-- what an earlier life left looks at that life's rows alone.
DROP INDEX payments_unfinished;
CREATE INDEX payments_unfinished ON payments (owner, owner_epoch) WHERE state IN ('claimed', 'recorded');
DROP INDEX payments_unfinal;
CREATE INDEX payments_unfinal ON payments (owner, owner_epoch, network, landed_block, id)
    WHERE state = 'settled' AND finality IS NULL;
DROP INDEX payments_running;
CREATE INDEX payments_running ON payments (delivery_owner, delivery_epoch) WHERE delivery = 'running';
DROP INDEX merchant_answers_telling;
CREATE INDEX merchant_answers_telling ON merchant_answers (owner, owner_epoch) WHERE state = 'telling';

-- A new or a deleted attempt is checked against those that may replace it.
CREATE INDEX attempts_replaces ON attempts (replaces) WHERE replaces IS NOT NULL;

-- Tariffs that are payable still, of all that ever were.
CREATE INDEX tariffs_replaced ON tariffs (network, replaced_at_ms) WHERE replaced_at_ms IS NOT NULL;

-- Whoever writes a cost, or a payment with an identifier, paid for these; nobody
-- reads them since there are totals and names.
DROP INDEX costs_recent;
DROP INDEX costs_uncollected;
DROP INDEX payments_identifier;

-- What all kept objects take, in bytes of answers.
CREATE TABLE answer_object_totals (
    place      INTEGER PRIMARY KEY CHECK (place = 1),
    kept_bytes INTEGER NOT NULL CHECK (kept_bytes >= 0)
) STRICT;
INSERT INTO answer_object_totals (place, kept_bytes)
    SELECT 1, COALESCE(SUM(bytes), 0) FROM answer_objects WHERE state = 'kept';
