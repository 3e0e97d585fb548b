-- Why was anything rejected or quarantined, stage by stage, and how much of what a stage was given is that?
-- A video that was made in spite of parts that nobody described stands there, too: as `gap`, once for each cause. `files` names the three
-- videos with the most of it, each with how many: `dmforge why NAME` says more.
WITH unmade AS (
    SELECT stage, status, reason, video, input, detail FROM outcomes WHERE status <> 'made'
    UNION ALL
    SELECT stage, 'gap', cause, video, video, arg_min(span || ': ' || why, start_cs) FROM gaps GROUP BY stage, cause, video
), by_video AS (
    SELECT u.stage, u.status, u.reason, u.video, any_value(b.name) AS name, count(*) AS inputs,
        row_number() OVER (PARTITION BY u.stage, u.status, u.reason ORDER BY count(*) DESC, any_value(b.name), u.video) AS place
    FROM unmade u LEFT JOIN brought b ON b.video = u.video
    GROUP BY u.stage, u.status, u.reason, u.video
), by_reason AS (
    SELECT stage, status, reason, count(*) AS inputs, count(DISTINCT video) AS videos, arg_min(detail, (video, input)) AS example
    FROM unmade GROUP BY stage, status, reason
), files AS (
    SELECT stage, status, reason, string_agg(name || ' ' || inputs, ', ' ORDER BY place) AS files
    FROM by_video WHERE place <= 3 GROUP BY stage, status, reason
)
SELECT r.stage, r.status, r.reason, r.inputs, round(r.inputs / s.inputs, 4) AS share, r.example, r.videos, f.files
FROM by_reason r JOIN stages s ON s.stage = r.stage
    LEFT JOIN files f ON f.stage = r.stage AND f.status = r.status AND f.reason = r.reason
ORDER BY s.position, r.inputs DESC, r.status, r.reason
