-- Which of several processes sends to a destination. One process serves this kind of database:
-- the column is never written here.
ALTER TABLE destination ADD COLUMN holder INTEGER;
