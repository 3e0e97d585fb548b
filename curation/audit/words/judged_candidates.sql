-- What came of a candidate: whether its answer is right, how well its best look meets gold, whether it was kept; NULL where nobody knows.
CREATE OR REPLACE TEMP VIEW judged_candidates AS
WITH correct AS (
    SELECT subject, max(score) >= 0.5 AS correct FROM verdicts WHERE filter = 'answer' GROUP BY subject
), looked AS (
    SELECT s.id, max(window_score(t.windows, t.needs, s.span.start_cs, s.span.end_cs)) AS iou
    FROM (SELECT id, task, unnest(list_transform(looks, lambda look: look."window")) AS span FROM candidates) s
        JOIN tasks t ON t.id = s.task
    WHERE len(t.windows) > 0
    GROUP BY s.id
)
SELECT c.id AS candidate, c.task, c.teacher, r.correct, l.iou, c.id IN (SELECT candidate FROM samples WHERE candidate IS NOT NULL) AS kept
FROM candidates c LEFT JOIN correct r ON r.subject = c.id LEFT JOIN looked l ON l.id = c.id
