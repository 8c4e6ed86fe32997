-- A file transfer that has begun and not ended. It goes on by itself after a fault, a kill or a reboot.
CREATE TABLE unfinished (
  account     TEXT NOT NULL,
  id          TEXT NOT NULL, -- the name that clients of the API know
  peer        TEXT NOT NULL, -- the device, as it was last seen
  sid         TEXT NOT NULL, -- of the first session, by which both sides know the transfer
  content     TEXT NOT NULL, -- the content of that session
  incoming    INTEGER NOT NULL,
  phase       TEXT NOT NULL, -- running, waiting, paused or storing
  name        TEXT NOT NULL, -- as the sender writes it
  size        INTEGER NOT NULL,
  date        TEXT NOT NULL, -- as the sender writes it
  media_type  TEXT NOT NULL,
  description TEXT NOT NULL,
  hash        TEXT NOT NULL, -- "algorithm:hex" of the whole file, or empty
  path        TEXT NOT NULL, -- of the file that is sent, or the folder of the one received
  part        TEXT NOT NULL, -- the name of the incomplete file in that folder
  mtime       INTEGER NOT NULL, -- of the file that is sent, in nanoseconds
  bytes       INTEGER NOT NULL, -- that are flushed to the disk, or, at a sender, were sent
  via         INTEGER NOT NULL, -- the road that was asked for
  pull        INTEGER NOT NULL, -- whether the receiver is who asks
  fruitless   INTEGER NOT NULL, -- attempts in a row that brought no byte
  began       INTEGER NOT NULL,
  updated     INTEGER NOT NULL,
  PRIMARY KEY (account, id)
) STRICT;
CREATE INDEX transfer_sid ON transfer (sid);
