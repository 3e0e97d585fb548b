-- What two runs of one recipe have in common: each task, and each attempt at it with its candidate; `nth` tells apart several of one attempt.
CREATE OR REPLACE TEMP VIEW tries AS
SELECT task, attempt::BIGINT AS attempt, row_number() OVER (PARTITION BY task, attempt ORDER BY teacher, id) AS nth, id AS subject,
    id AS candidate, video
FROM candidates
UNION ALL
SELECT id, -1, 1, id, NULL, video FROM tasks
