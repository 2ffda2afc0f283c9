-- Whatever a device has in its mailbox, it is few of all rows. Where the server sees that a node
-- has few devices it thinks otherwise, and to find what one of them has, in order, it reads the
-- rows of all by their primary key.
ALTER TABLE mailbox ALTER generation SET STATISTICS 0;
