-- Which teacher is worth it: how right are its candidates, where do they look, and how many were kept?
WITH scores AS (
    SELECT c.teacher, v.filter, avg(v.score) AS score
    FROM verdicts v JOIN candidates c ON c.id = v.subject
    WHERE v.filter IN ('answer', 'evidence', 'crosscheck')
    GROUP BY c.teacher, v.filter
), written AS (
    SELECT c.teacher, count(*) AS candidates, count(DISTINCT c.task) AS tasks,
        avg((c.looks[1]."window".end_cs - c.looks[1]."window".start_cs) / 100) AS looked_s,
        avg(c.looks[1].fps.num / c.looks[1].fps.den) AS density_fps, avg((c.window_source = 'teacher')::INTEGER) AS own_window,
        count(s.candidate) AS kept
    FROM candidates c LEFT JOIN (SELECT DISTINCT candidate FROM samples WHERE candidate IS NOT NULL) s ON s.candidate = c.id
    GROUP BY c.teacher
)
SELECT w.teacher, w.tasks, w.candidates,
    round((SELECT score FROM scores s WHERE s.teacher = w.teacher AND s.filter = 'answer'), 4) AS answer,
    round((SELECT score FROM scores s WHERE s.teacher = w.teacher AND s.filter = 'evidence'), 4) AS evidence,
    round((SELECT score FROM scores s WHERE s.teacher = w.teacher AND s.filter = 'crosscheck'), 4) AS crosscheck,
    round(w.looked_s, 2) AS looked_s, round(w.density_fps, 2) AS density_fps, round(w.own_window, 4) AS own_window,
    w.kept, round(w.kept / w.candidates, 4) AS kept_share
FROM written w
ORDER BY w.kept DESC, w.teacher
