-- The name of this device that was made up for an account, and the machine that it was made up on.
CREATE TABLE resource (
  account TEXT PRIMARY KEY,
  machine TEXT NOT NULL,
  name TEXT NOT NULL
) STRICT;
