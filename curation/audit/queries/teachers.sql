-- Which teacher is worth it: how right are its candidates, where do they look, and how many were kept?
-- `right` is the share of answers that are right, `iou` how well the best look meets gold; low and high are the ends of intervals of 95 %.
-- `usd_per_kept` counts all answers of the teacher, also those that came to nothing.
WITH scores AS (
    SELECT c.teacher, v.filter, avg(v.score) AS score
    FROM verdicts v JOIN candidates c ON c.id = v.subject
    WHERE v.filter IN ('answer', 'evidence', 'crosscheck')
    GROUP BY c.teacher, v.filter
), written AS (
    SELECT c.teacher, count(*) AS candidates, count(DISTINCT c.task) AS tasks,
        avg((c.looks[1]."window".end_cs - c.looks[1]."window".start_cs) / 100) AS looked_s,
        avg(c.looks[1].fps.num / c.looks[1].fps.den) AS density_fps, avg((c.window_source = 'teacher')::INTEGER) AS own_window,
        count(j.correct) AS judged, count(*) FILTER (j.correct) AS correct, avg(j.iou) AS iou, stddev_samp(j.iou) AS iou_deviation,
        count(j.iou) AS looked, count(*) FILTER (j.kept) AS kept
    FROM candidates c JOIN judged_candidates j ON j.candidate = c.id
    GROUP BY c.teacher
), paid AS (
    SELECT model, sum(usd) AS usd FROM paid_answers GROUP BY model
)
SELECT w.teacher, w.tasks, w.candidates,
    round((SELECT score FROM scores s WHERE s.teacher = w.teacher AND s.filter = 'answer'), 4) AS answer,
    round((SELECT score FROM scores s WHERE s.teacher = w.teacher AND s.filter = 'evidence'), 4) AS evidence,
    round((SELECT score FROM scores s WHERE s.teacher = w.teacher AND s.filter = 'crosscheck'), 4) AS crosscheck,
    round(w.looked_s, 2) AS looked_s, round(w.density_fps, 2) AS density_fps, round(w.own_window, 4) AS own_window,
    w.kept, round(w.kept / w.candidates, 4) AS kept_share, wilson(w.kept, w.candidates)[1] AS kept_low,
    wilson(w.kept, w.candidates)[2] AS kept_high, round(w.correct / nullif(w.judged, 0), 4) AS "right",
    wilson(w.correct, w.judged)[1] AS right_low, wilson(w.correct, w.judged)[2] AS right_high, round(w.iou, 4) AS iou,
    mean_interval(w.iou, w.iou_deviation, w.looked)[1] AS iou_low, mean_interval(w.iou, w.iou_deviation, w.looked)[2] AS iou_high,
    round(p.usd / nullif(w.kept, 0), 6) AS usd_per_kept
FROM written w LEFT JOIN paid p ON p.model = w.teacher
ORDER BY w.kept DESC, w.teacher
