-- Whom an account blocks, as last known.
CREATE TABLE blocked (
  account TEXT NOT NULL,
  jid     TEXT NOT NULL,
  PRIMARY KEY (account, jid)
) STRICT;

-- What the software of others can do: a disco#info answer by its hash (XEP-0115). It is checked again when it is read.
CREATE TABLE capability (
  hash TEXT NOT NULL,
  ver  TEXT NOT NULL,
  info TEXT NOT NULL, -- the <query/>
  seen INTEGER NOT NULL,
  PRIMARY KEY (hash, ver)
) STRICT;
CREATE INDEX capability_seen ON capability (seen);
