-- What each selection decided about a candidate, or about a task where it selects tasks, and for which reason.
CREATE OR REPLACE TEMP VIEW decisions AS
SELECT o.stage, t.task, t.attempt, t.nth, t.candidate, t.video, CASE o.status WHEN 'made' THEN 'kept' ELSE o.status END AS side, o.reason,
    o.detail
FROM outcomes o JOIN tries t ON t.subject = o.input
WHERE o.stage IN (SELECT stage FROM outcomes WHERE stage LIKE 'select%')
