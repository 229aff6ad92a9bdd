-- What prepaid work really used, beside what was prepaid for it. Written in the
-- same commit as the answer.
CREATE TABLE usages (
    payment                    TEXT PRIMARY KEY REFERENCES payments (id),
    product                    TEXT NOT NULL,
    prompt_tokens_reserved     INTEGER NOT NULL CHECK (prompt_tokens_reserved >= 0),
    prompt_tokens              INTEGER NOT NULL CHECK (prompt_tokens >= 0),
    completion_tokens_reserved INTEGER NOT NULL CHECK (completion_tokens_reserved >= 0),
    completion_tokens          INTEGER NOT NULL CHECK (completion_tokens >= 0),
    reserved                   INTEGER NOT NULL CHECK (reserved > 0),
    metered                    INTEGER NOT NULL CHECK (metered >= 0),
    -- Equal to `reserved` under `exact`; a scheme that charges by use writes less.
    charged                    INTEGER NOT NULL CHECK (charged >= 0),
    at_ms                      INTEGER NOT NULL
) STRICT;
CREATE INDEX usages_recent ON usages (at_ms);

-- What one payment cost is shown beside what it was charged.
CREATE INDEX costs_payment ON costs (payment) WHERE payment IS NOT NULL;
