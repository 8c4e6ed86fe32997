-- Where a file is fetched from by https, and how to know that it is still the same one there: both empty for other roads.
ALTER TABLE unfinished ADD COLUMN url TEXT NOT NULL DEFAULT '';
ALTER TABLE unfinished ADD COLUMN validator TEXT NOT NULL DEFAULT '';
