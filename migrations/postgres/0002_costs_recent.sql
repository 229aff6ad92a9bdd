-- The daily ceilings sum a network's recent costs every few seconds.
CREATE INDEX costs_recent ON costs (network, at_ms);
