-- What attempts may still cost without earning (P3, I10). A row is written in the
-- commit of its claim, before anything is signed, and goes when the payment has its
-- verdict and the fate of each of its attempts is in the books.
CREATE TABLE reservations (
    payment       TEXT PRIMARY KEY REFERENCES payments (id),
    network       TEXT NOT NULL,
    payer         TEXT NOT NULL,
    -- Where the money comes from: the payer, or a token account of the payer's.
    source        TEXT NOT NULL,
    -- Tokens that must still be there when the payment lands; zero from the verdict on.
    amount        INTEGER NOT NULL CHECK (amount >= 0),
    -- After this it cannot take them any more; null where a height says so.
    hold_until_ms INTEGER,
    -- The cost bound, in USDC and in wei or lamports; zero while nothing can burn.
    usdc          INTEGER NOT NULL CHECK (usdc >= 0),
    native        INTEGER NOT NULL CHECK (native >= 0),
    funding       TEXT NOT NULL CHECK (funding IN ('stranger', 'probe', 'history')),
    by_code       INTEGER NOT NULL CHECK (by_code IN (0, 1))
) STRICT;
CREATE INDEX reservations_costs ON reservations (network, payer, payment, funding, by_code, usdc, native)
    WHERE native > 0;
CREATE INDEX reservations_source ON reservations (network, source);

-- Costs by network and ten minutes; of a payer only what earned nothing. The
-- network's own rows have an empty payer.
CREATE TABLE cost_totals (
    network      TEXT NOT NULL,
    payer        TEXT NOT NULL,
    slot         INTEGER NOT NULL,
    usdc         INTEGER NOT NULL CHECK (usdc >= 0),
    burnt_usdc   INTEGER NOT NULL CHECK (burnt_usdc >= 0),
    burnt_native INTEGER NOT NULL CHECK (burnt_native >= 0),
    PRIMARY KEY (network, payer, slot)
) STRICT, WITHOUT ROWID;
INSERT INTO cost_totals (network, payer, slot, usdc, burnt_usdc, burnt_native)
    SELECT network, '', at_ms / 600000, SUM(COALESCE(usdc, 0)),
           SUM(CASE WHEN earned THEN 0 ELSE COALESCE(usdc, 0) END),
           CAST(MIN(SUM(CASE WHEN earned THEN 0.0 ELSE CAST(native AS REAL) END), 1.0e18) AS INTEGER)
    FROM costs GROUP BY network, at_ms / 600000;
INSERT INTO cost_totals (network, payer, slot, usdc, burnt_usdc, burnt_native)
    SELECT network, payer, at_ms / 600000, 0, SUM(COALESCE(usdc, 0)),
           CAST(MIN(SUM(CAST(native AS REAL)), 1.0e18) AS INTEGER)
    FROM costs WHERE NOT earned AND payer IS NOT NULL AND payer <> '' GROUP BY network, payer, at_ms / 600000;

-- What a payer's settled payments paid for settling, and what its attempts burnt
-- of the part of it that it may.
CREATE TABLE payers (
    network TEXT NOT NULL,
    payer   TEXT NOT NULL,
    paid    INTEGER NOT NULL CHECK (paid >= 0),
    burnt   INTEGER NOT NULL CHECK (burnt >= 0),
    PRIMARY KEY (network, payer)
) STRICT, WITHOUT ROWID;
INSERT INTO payers (network, payer, paid, burnt)
    SELECT network, payer, SUM(gas), 0 FROM payments
    WHERE state = 'settled' AND finality IS DISTINCT FROM 'reorged_loss' GROUP BY network, payer;

-- What is under way when this schema comes: its surcharge stands for its bound.
INSERT INTO reservations (payment, network, payer, source, amount, hold_until_ms, usdc, native, funding, by_code)
    SELECT id, network, payer, payer, amount,
           CASE WHEN deadline_unit = 'unix_seconds' THEN min(deadline_value, 9000000000000) * 1000 END,
           gas, 1, 'stranger', 0
    FROM payments WHERE state IN ('claimed', 'recorded');

-- Landings that a balance read before them does not show.
CREATE INDEX payments_payer_landed ON payments (network, payer, landed_block) WHERE state = 'settled';
