-- What prepaid work really used, beside what was prepaid for it. Written in the
-- same commit as the answer.
CREATE TABLE usages (
    payment                    TEXT PRIMARY KEY REFERENCES payments (id),
    product                    TEXT NOT NULL,
    prompt_tokens_reserved     BIGINT NOT NULL CHECK (prompt_tokens_reserved >= 0),
    prompt_tokens              BIGINT NOT NULL CHECK (prompt_tokens >= 0),
    completion_tokens_reserved BIGINT NOT NULL CHECK (completion_tokens_reserved >= 0),
    completion_tokens          BIGINT NOT NULL CHECK (completion_tokens >= 0),
    reserved                   BIGINT NOT NULL CHECK (reserved > 0),
    metered                    BIGINT NOT NULL CHECK (metered >= 0),
    -- Equal to `reserved` under `exact`; a scheme that charges by use writes less.
    charged                    BIGINT NOT NULL CHECK (charged >= 0),
    at_ms                      BIGINT NOT NULL
);
CREATE INDEX usages_recent ON usages (at_ms);

-- What one payment cost is shown beside what it was charged.
CREATE INDEX costs_payment ON costs (payment) WHERE payment IS NOT NULL;
