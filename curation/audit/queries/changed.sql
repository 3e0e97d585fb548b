-- Which candidates and tasks changed sides between another run, `--with OTHER`, and this one, why, and which of their scores did they change?
WITH changed AS (
    SELECT h.stage, h.task, h.attempt, h.nth, h.candidate, h.video, o.side AS there, h.side AS here, o.reason AS why_there,
        h.reason AS why_here, CASE h.side WHEN 'kept' THEN o.detail ELSE h.detail END AS detail
    FROM decisions h JOIN other_decisions o ON o.stage = h.stage AND o.task = h.task AND o.attempt = h.attempt AND o.nth = h.nth
    WHERE h.side <> o.side
), moved AS (
    SELECT h.task, h.attempt, h.nth, string_agg(h.filter || ' ' || round(o.score, 3) || ' to ' || round(h.score, 3), ', '
        ORDER BY abs(h.score - o.score) DESC, h.filter) AS scores
    FROM try_scores h JOIN other_scores o ON o.task = h.task AND o.attempt = h.attempt AND o.nth = h.nth AND o.filter = h.filter
    WHERE abs(h.score - o.score) > 1e-9 AND h.task IN (SELECT task FROM changed)
    GROUP BY h.task, h.attempt, h.nth
)
SELECT c.stage, c.there, c.here, c.why_there, c.why_here, b.name AS video_name, c.task, c.candidate, nullif(c.attempt, -1) AS attempt,
    m.scores, c.detail
FROM changed c LEFT JOIN moved m ON m.task = c.task AND m.attempt = c.attempt AND m.nth = c.nth
    LEFT JOIN (SELECT video, min(name) AS name FROM brought GROUP BY video) b ON b.video = c.video
ORDER BY c.stage, c.there, c.here, c.why_there, c.why_here, video_name, c.task, c.attempt, c.nth
