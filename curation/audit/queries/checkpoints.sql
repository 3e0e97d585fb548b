-- How does each checkpoint do with samples that it was evaluated on, by source and kind?
SELECT e.checkpoint, p.source, t.task_kind AS kind, count(*) AS samples,
    round(avg((e.ending = 'answered')::INTEGER), 4) AS format, round(avg(e.iou), 4) AS miou,
    round(avg(e.density_error), 4) AS density_error, round(avg(e.score), 4) AS answer,
    round(avg(e.uniform_frames), 4) AS uniform_frames, round(avg(e.visual_tokens), 1) AS visual_tokens
FROM evaluations e LEFT JOIN tasks t ON t.id = e.task LEFT JOIN provenances p ON p.video = e.video
GROUP BY e.evaluation, e.checkpoint, p.source, t.task_kind
ORDER BY e.checkpoint, e.evaluation, p.source, t.task_kind
