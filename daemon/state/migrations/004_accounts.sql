-- What was set for an account while the daemon ran. Passwords are elsewhere.
CREATE TABLE account_settings (
  jid      TEXT PRIMARY KEY,
  added    INTEGER NOT NULL, -- 1: the account is only here; 0: it stands in the configuration
  settings TEXT NOT NULL -- jingled.v1.AccountSettings in its JSON form
) STRICT;
