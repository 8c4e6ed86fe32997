-- Times are Unix times in milliseconds, UTC. Addresses are bare or full JIDs, as they were.
CREATE TABLE account (
  jid        TEXT PRIMARY KEY,
  first_seen INTEGER NOT NULL,
  last_seen  INTEGER NOT NULL
) STRICT;

-- An identity is a key that somebody was told to trust, or is trusted since it was first seen.
CREATE TABLE identity (
  account    TEXT NOT NULL,
  peer       TEXT NOT NULL,
  kind       TEXT NOT NULL, -- "server-certificate"
  value      TEXT NOT NULL, -- a SHA-256 fingerprint in lower-case hex
  first_seen INTEGER NOT NULL,
  last_seen  INTEGER NOT NULL,
  PRIMARY KEY (account, peer, kind, value)
) STRICT;

CREATE TABLE call (
  id               INTEGER PRIMARY KEY AUTOINCREMENT,
  account          TEXT NOT NULL,
  peer             TEXT NOT NULL,
  sid              TEXT NOT NULL,
  incoming         INTEGER NOT NULL,
  video            INTEGER NOT NULL,
  began            INTEGER NOT NULL,
  ended            INTEGER NOT NULL,
  connected        INTEGER NOT NULL,
  seconds          REAL NOT NULL, -- of conversation
  reason           TEXT NOT NULL, -- XEP-0166 section 7.4
  text             TEXT NOT NULL,
  by_peer          INTEGER NOT NULL,
  packets_sent     INTEGER NOT NULL,
  packets_received INTEGER NOT NULL,
  packets_lost     INTEGER NOT NULL
) STRICT;
CREATE INDEX call_ended ON call (ended);

CREATE TABLE transfer (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  account   TEXT NOT NULL,
  peer      TEXT NOT NULL,
  sid       TEXT NOT NULL,
  incoming  INTEGER NOT NULL,
  began     INTEGER NOT NULL,
  ended     INTEGER NOT NULL,
  name      TEXT NOT NULL,
  size      INTEGER NOT NULL,
  bytes     INTEGER NOT NULL,
  transport TEXT NOT NULL,
  path      TEXT NOT NULL,
  complete  INTEGER NOT NULL,
  verified  INTEGER NOT NULL,
  hash      TEXT NOT NULL, -- "algorithm:hex", or empty
  reason    TEXT NOT NULL,
  text      TEXT NOT NULL,
  by_peer   INTEGER NOT NULL
) STRICT;
CREATE INDEX transfer_ended ON transfer (ended);
