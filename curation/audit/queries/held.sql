-- How right is each checkpoint held to fewer looks, and for how many visual tokens?
SELECT e.checkpoint, h.held_to, count(*) AS samples, round(avg(h.score), 4) AS answer, round(avg(h.iou_set), 4) AS miou_set,
    round(avg(h.visual_tokens), 1) AS visual_tokens
FROM evaluations e, unnest(e.held_rollouts) AS u(h)
GROUP BY e.evaluation, e.checkpoint, h.held_to
ORDER BY e.checkpoint, e.evaluation, h.held_to
