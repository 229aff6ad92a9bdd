-- Of the runs that were interrupted, those that died with their process: each may
-- have killed it, so they count against a bound of their own.
ALTER TABLE payments ADD COLUMN runs_crashed INTEGER NOT NULL DEFAULT 0
    CHECK (runs_crashed >= 0 AND runs_crashed <= runs_interrupted);
