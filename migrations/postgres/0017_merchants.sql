-- Merchants: who sells through `/verify` and `/settle` under a name, keys and limits of
-- their own. Calls without a key are the merchant 'default', which has no row. A name is
-- given once: a closed merchant stays.
CREATE TABLE merchants (
    name          TEXT PRIMARY KEY,
    state         TEXT NOT NULL CHECK (state IN ('open', 'closed')),
    -- Who carries what settling costs: the payer within the price, the operator, or the merchant.
    fee_policy    TEXT NOT NULL CHECK (fee_policy IN ('added', 'absorbed', 'billed')),
    in_flight_max BIGINT NOT NULL CHECK (in_flight_max > 0),
    -- Token accounts whose rent is ever paid for it.
    accounts_max  BIGINT NOT NULL CHECK (accounts_max >= 0),
    created_at_ms BIGINT NOT NULL,
    changed_at_ms BIGINT NOT NULL
);
CREATE TRIGGER merchants_closed_final BEFORE UPDATE ON merchants
FOR EACH ROW WHEN (OLD.state = 'closed')
EXECUTE FUNCTION quittance_refuse('a closed merchant stays closed');
CREATE TRIGGER merchants_no_delete BEFORE DELETE ON merchants
FOR EACH ROW EXECUTE FUNCTION quittance_refuse('merchants are kept');

-- Where it is paid, in what, and how much a day.
CREATE TABLE merchant_networks (
    merchant       TEXT NOT NULL REFERENCES merchants (name),
    network        TEXT NOT NULL,
    pay_to         TEXT NOT NULL,
    asset          TEXT NOT NULL,
    amount_day_max BIGINT NOT NULL CHECK (amount_day_max >= 0),
    cost_day_max   BIGINT NOT NULL CHECK (cost_day_max >= 0),
    native_day_max BIGINT NOT NULL CHECK (native_day_max >= 0),
    PRIMARY KEY (merchant, network)
);

-- SHA-256 of each key's secret half, by its public half. The secret is nowhere.
CREATE TABLE merchant_keys (
    id            TEXT PRIMARY KEY,
    merchant      TEXT NOT NULL REFERENCES merchants (name),
    hash          BYTEA NOT NULL CHECK (length(hash) = 32),
    created_at_ms BIGINT NOT NULL,
    ends_at_ms    BIGINT
);
CREATE INDEX merchant_keys_merchant ON merchant_keys (merchant);

-- What a merchant sold and what that cost, by network and ten minutes: limits and
-- statements read these, and each row of a payment or a cost adds to them in its commit.
CREATE TABLE merchant_totals (
    merchant      TEXT NOT NULL,
    network       TEXT NOT NULL,
    slot          BIGINT NOT NULL,
    payments      BIGINT NOT NULL DEFAULT 0 CHECK (payments >= 0),
    amount        BIGINT NOT NULL DEFAULT 0 CHECK (amount >= 0),
    -- The surcharge of these payments, by who carries it.
    charged       BIGINT NOT NULL DEFAULT 0 CHECK (charged >= 0),
    absorbed      BIGINT NOT NULL DEFAULT 0 CHECK (absorbed >= 0),
    billed        BIGINT NOT NULL DEFAULT 0 CHECK (billed >= 0),
    -- What a reorganisation took away again, in the ten minutes when that was found.
    lost_payments BIGINT NOT NULL DEFAULT 0 CHECK (lost_payments >= 0),
    lost_amount   BIGINT NOT NULL DEFAULT 0 CHECK (lost_amount >= 0),
    lost_due      BIGINT NOT NULL DEFAULT 0 CHECK (lost_due >= 0),
    earned_cost   BIGINT NOT NULL DEFAULT 0 CHECK (earned_cost >= 0),
    burnt_cost    BIGINT NOT NULL DEFAULT 0 CHECK (burnt_cost >= 0),
    native        BIGINT NOT NULL DEFAULT 0 CHECK (native >= 0),
    unpriced      BIGINT NOT NULL DEFAULT 0 CHECK (unpriced >= 0),
    accounts      BIGINT NOT NULL DEFAULT 0 CHECK (accounts >= 0),
    rent          BIGINT NOT NULL DEFAULT 0 CHECK (rent >= 0),
    PRIMARY KEY (merchant, network, slot)
);
CREATE INDEX merchant_totals_slot ON merchant_totals (slot);

-- Token accounts that were created for a merchant, at the wallet's cost: written, and
-- charged, before the transaction is sent. One is never paid for twice: whoever may close
-- it would be paid its rent each time.
CREATE TABLE merchant_accounts (
    network     TEXT NOT NULL,
    account     TEXT NOT NULL,
    merchant    TEXT NOT NULL REFERENCES merchants (name),
    tries       BIGINT NOT NULL CHECK (tries > 0),
    tx          TEXT,
    begun_at_ms BIGINT NOT NULL,
    PRIMARY KEY (network, account)
);
CREATE INDEX merchant_accounts_merchant ON merchant_accounts (merchant);
