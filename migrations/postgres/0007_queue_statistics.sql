-- Whatever a device has in its mailbox, and a destination in its outbox, it is little of all.
-- Where few have all of it the server would think otherwise, and read the rows of all of them to
-- find the next ones of one.
ALTER TABLE mailbox ALTER generation SET STATISTICS 0;
ALTER TABLE outbox ALTER destination_key SET STATISTICS 0;
