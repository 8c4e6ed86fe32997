-- The keys that were pressed in a call, here and by the peer, in order.
ALTER TABLE call ADD COLUMN keys_sent TEXT NOT NULL DEFAULT '';
ALTER TABLE call ADD COLUMN keys_received TEXT NOT NULL DEFAULT '';
