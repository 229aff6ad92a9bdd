-- Nonces whose attempts were replaced (I2): watched until it is final which attempt used
-- them, and what replacing took of the operator's budget beyond what is reserved for
-- their payments (I10). Rows that count no more go with the next replacement.
CREATE TABLE replaced_slots (
    network TEXT NOT NULL,
    wallet  TEXT NOT NULL,
    nonce   INTEGER NOT NULL CHECK (nonce >= 0),
    -- In wei: the most that any replacement there took; what the nonce cost once that is final.
    native  INTEGER NOT NULL CHECK (native >= 0),
    -- When it was replaced last.
    at_ms   INTEGER NOT NULL,
    is_open INTEGER NOT NULL CHECK (is_open IN (0, 1)),
    PRIMARY KEY (network, wallet, nonce)
) STRICT, WITHOUT ROWID;
