-- A foreign server that works before it settles runs its handler for every
-- authorization that `/verify` calls valid. One that nobody has claimed yet holds
-- its payer's money for the time of a lease, so that others beyond the balance are
-- not valid meanwhile. The row goes when the authorization is claimed; one whose
-- time is over counts for nothing and goes with a later lease of its network.
CREATE TABLE check_leases (
    payment_key      BLOB NOT NULL PRIMARY KEY,
    network          TEXT NOT NULL,
    -- Where the money comes from: the payer, or a token account of the payer's.
    source           TEXT NOT NULL,
    amount           INTEGER NOT NULL CHECK (amount >= 0),
    -- Whose question it was: merchant and terms, and which signature.
    fingerprint      BLOB NOT NULL,
    signature_digest BLOB NOT NULL,
    until_ms         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX check_leases_source ON check_leases (network, source, until_ms);
CREATE INDEX check_leases_until ON check_leases (network, until_ms);
