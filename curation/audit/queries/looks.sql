-- How does each checkpoint do by how many looks a task needs, and does it look as often?
-- Of evaluations in which it may look several times, or was held to fewer looks; tasks of which nothing says it aren't counted.
WITH counted AS (
    SELECT *, (look IS NOT NULL)::INTEGER + len(further_looks) AS made FROM evaluations WHERE needed_looks IS NOT NULL
)
SELECT checkpoint, needed_looks, count(*) AS samples, round(avg(score), 4) AS answer, round(avg(iou_set), 4) AS miou_set,
    round(avg(made), 4) AS looks, round(avg(greatest(0, made - needed_looks)), 4) AS excess_looks,
    round(avg(greatest(0, needed_looks - made)), 4) AS missed_looks, round(avg(visual_tokens), 1) AS visual_tokens
FROM counted
GROUP BY evaluation, checkpoint, needed_looks
ORDER BY checkpoint, evaluation, needed_looks
