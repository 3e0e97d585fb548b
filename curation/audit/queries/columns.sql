-- What does each column of each table mean, in which unit, and since which format of the table is it there?
SELECT table_name AS "table", column_name AS "column", type, unit, since, meaning
FROM column_meanings
