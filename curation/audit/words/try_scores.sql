-- The scores of tasks and candidates, by what two runs have in common; of several of one filter the lowest counts.
CREATE OR REPLACE TEMP VIEW try_scores AS
SELECT t.task, t.attempt, t.nth, t.video, v.filter, min(v.score) AS score
FROM tries t JOIN verdicts v ON v.subject = t.subject AND v.video = t.video
GROUP BY ALL
