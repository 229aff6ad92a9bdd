-- What was charged for creating token accounts (P3), before what may cost it is signed: one row for
-- each payment that creates the account it pays, and for each transaction of ours that creates one.
-- A payment that ends without a landing gives its row back. Days that are over go with the next one.
CREATE TABLE account_rents (
    network TEXT NOT NULL,
    -- The payment, or what else is created.
    id      TEXT NOT NULL,
    -- Whose: the payer, 'merchant NAME', or nobody's (empty) where it is our own.
    payer   TEXT NOT NULL,
    -- UTC days since 1970.
    day     BIGINT NOT NULL,
    -- In lamports.
    native  BIGINT NOT NULL CHECK (native >= 0),
    at_ms   BIGINT NOT NULL,
    PRIMARY KEY (network, id)
);
