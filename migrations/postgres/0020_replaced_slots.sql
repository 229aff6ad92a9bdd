-- Nonces whose attempts were replaced (I2): watched until it is final which attempt used
-- them, and what replacing took of the operator's budget beyond what is reserved for
-- their payments (I10). Rows that count no more go with the next replacement.
CREATE TABLE replaced_slots (
    network TEXT NOT NULL,
    wallet  TEXT NOT NULL,
    nonce   BIGINT NOT NULL CHECK (nonce >= 0),
    -- In wei: the most that any replacement there took; what the nonce cost once that is final.
    native  BIGINT NOT NULL CHECK (native >= 0),
    -- When it was replaced last.
    at_ms   BIGINT NOT NULL,
    is_open BOOLEAN NOT NULL,
    PRIMARY KEY (network, wallet, nonce)
);
