-- How a file was protected on its way: "none", "dtls", "end-to-end", or empty if no connection was made.
ALTER TABLE transfer ADD COLUMN encryption TEXT NOT NULL DEFAULT '';

-- What is wanted of the encryption of a transfer that goes on: 0 if possible, 1 required, 2 none, 3 end to end.
ALTER TABLE unfinished ADD COLUMN encryption INTEGER NOT NULL DEFAULT 0;
