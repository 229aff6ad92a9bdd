-- What a transaction cost is booked as a share for each payment in it, by the payment's place in
-- it; of earlier transactions each settled one payment, which had all of it.
CREATE TABLE cost_shares (
    network     TEXT NOT NULL,
    tx          TEXT NOT NULL,
    item        INTEGER NOT NULL CHECK (item >= 0),
    payment     TEXT REFERENCES payments (id),
    payer       TEXT,
    native      TEXT NOT NULL,
    usdc        INTEGER CHECK (usdc >= 0),
    earned      INTEGER NOT NULL CHECK (earned IN (0, 1)),
    at_ms       INTEGER NOT NULL,
    -- All of the transaction, as it was known when the first share was booked: so that the shares add
    -- up to it exactly, whoever books them, and when.
    whole       TEXT NOT NULL,
    whole_usdc  INTEGER CHECK (whole_usdc >= usdc),
    PRIMARY KEY (network, tx, item)
) STRICT;
INSERT INTO cost_shares (network, tx, item, payment, payer, native, usdc, earned, at_ms, whole, whole_usdc)
    SELECT network, tx, 0, payment, payer, native, usdc, earned, at_ms, native, usdc FROM costs;
DROP TABLE costs;
ALTER TABLE cost_shares RENAME TO costs;
CREATE INDEX costs_payment ON costs (payment) WHERE payment IS NOT NULL;
