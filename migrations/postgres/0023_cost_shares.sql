-- What a transaction cost is booked as a share for each payment in it, by the payment's place in
-- it; of earlier transactions each settled one payment, which had all of it.
ALTER TABLE costs ADD COLUMN item BIGINT NOT NULL DEFAULT 0 CHECK (item >= 0);
-- All of the transaction, as it was known when the first share was booked: so that the shares add
-- up to it exactly, whoever books them, and when.
ALTER TABLE costs ADD COLUMN whole TEXT;
ALTER TABLE costs ADD COLUMN whole_usdc BIGINT;
UPDATE costs SET whole = native, whole_usdc = usdc;
ALTER TABLE costs ALTER COLUMN whole SET NOT NULL;
ALTER TABLE costs ALTER COLUMN item DROP DEFAULT;
ALTER TABLE costs ADD CONSTRAINT costs_whole_usdc_check CHECK (whole_usdc >= usdc);
ALTER TABLE costs DROP CONSTRAINT costs_pkey;
ALTER TABLE costs ADD PRIMARY KEY (network, tx, item);
