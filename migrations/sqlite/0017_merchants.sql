-- Merchants: who sells through `/verify` and `/settle` under a name, keys and limits of
-- their own. Calls without a key are the merchant 'default', which has no row. A name is
-- given once: a closed merchant stays.
CREATE TABLE merchants (
    name          TEXT PRIMARY KEY,
    state         TEXT NOT NULL CHECK (state IN ('open', 'closed')),
    -- Who carries what settling costs: the payer within the price, the operator, or the merchant.
    fee_policy    TEXT NOT NULL CHECK (fee_policy IN ('added', 'absorbed', 'billed')),
    in_flight_max INTEGER NOT NULL CHECK (in_flight_max > 0),
    -- Token accounts whose rent is ever paid for it.
    accounts_max  INTEGER NOT NULL CHECK (accounts_max >= 0),
    created_at_ms INTEGER NOT NULL,
    changed_at_ms INTEGER NOT NULL
) STRICT;
CREATE TRIGGER merchants_closed_final BEFORE UPDATE ON merchants
WHEN OLD.state = 'closed'
BEGIN SELECT RAISE(ABORT, 'a closed merchant stays closed'); END;
CREATE TRIGGER merchants_no_delete BEFORE DELETE ON merchants
BEGIN SELECT RAISE(ABORT, 'merchants are kept'); END;

-- Where it is paid, in what, and how much a day.
CREATE TABLE merchant_networks (
    merchant       TEXT NOT NULL REFERENCES merchants (name),
    network        TEXT NOT NULL,
    pay_to         TEXT NOT NULL,
    asset          TEXT NOT NULL,
    amount_day_max INTEGER NOT NULL CHECK (amount_day_max >= 0),
    cost_day_max   INTEGER NOT NULL CHECK (cost_day_max >= 0),
    native_day_max INTEGER NOT NULL CHECK (native_day_max >= 0),
    PRIMARY KEY (merchant, network)
) STRICT, WITHOUT ROWID;

-- SHA-256 of each key's secret half, by its public half. The secret is nowhere.
CREATE TABLE merchant_keys (
    id            TEXT PRIMARY KEY,
    merchant      TEXT NOT NULL REFERENCES merchants (name),
    hash          BLOB NOT NULL CHECK (length(hash) = 32),
    created_at_ms INTEGER NOT NULL,
    ends_at_ms    INTEGER
) STRICT;
CREATE INDEX merchant_keys_merchant ON merchant_keys (merchant);

-- What a merchant sold and what that cost, by network and ten minutes: limits and
-- statements read these, and each row of a payment or a cost adds to them in its commit.
CREATE TABLE merchant_totals (
    merchant      TEXT NOT NULL,
    network       TEXT NOT NULL,
    slot          INTEGER NOT NULL,
    payments      INTEGER NOT NULL DEFAULT 0 CHECK (payments >= 0),
    amount        INTEGER NOT NULL DEFAULT 0 CHECK (amount >= 0),
    -- The surcharge of these payments, by who carries it.
    charged       INTEGER NOT NULL DEFAULT 0 CHECK (charged >= 0),
    absorbed      INTEGER NOT NULL DEFAULT 0 CHECK (absorbed >= 0),
    billed        INTEGER NOT NULL DEFAULT 0 CHECK (billed >= 0),
    -- What a reorganisation took away again, in the ten minutes when that was found.
    lost_payments INTEGER NOT NULL DEFAULT 0 CHECK (lost_payments >= 0),
    lost_amount   INTEGER NOT NULL DEFAULT 0 CHECK (lost_amount >= 0),
    lost_due      INTEGER NOT NULL DEFAULT 0 CHECK (lost_due >= 0),
    earned_cost   INTEGER NOT NULL DEFAULT 0 CHECK (earned_cost >= 0),
    burnt_cost    INTEGER NOT NULL DEFAULT 0 CHECK (burnt_cost >= 0),
    native        INTEGER NOT NULL DEFAULT 0 CHECK (native >= 0),
    unpriced      INTEGER NOT NULL DEFAULT 0 CHECK (unpriced >= 0),
    accounts      INTEGER NOT NULL DEFAULT 0 CHECK (accounts >= 0),
    rent          INTEGER NOT NULL DEFAULT 0 CHECK (rent >= 0),
    PRIMARY KEY (merchant, network, slot)
) STRICT, WITHOUT ROWID;
CREATE INDEX merchant_totals_slot ON merchant_totals (slot);

-- Token accounts that were created for a merchant, at the wallet's cost: written, and
-- charged, before the transaction is sent. One is never paid for twice: whoever may close
-- it would be paid its rent each time.
CREATE TABLE merchant_accounts (
    network     TEXT NOT NULL,
    account     TEXT NOT NULL,
    merchant    TEXT NOT NULL REFERENCES merchants (name),
    tries       INTEGER NOT NULL CHECK (tries > 0),
    tx          TEXT,
    begun_at_ms INTEGER NOT NULL,
    PRIMARY KEY (network, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX merchant_accounts_merchant ON merchant_accounts (merchant);
