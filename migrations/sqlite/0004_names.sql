-- `user` is a word of SQL.
ALTER TABLE account RENAME COLUMN user TO name;
