-- Which prompt is worth it: how right are candidates that were made with it, how well do they look, how many were kept, at what price?
-- A prompt is known by the digest of its text. Low and high are the ends of intervals of 95 %. `usd` is of all answers, also those that
-- came to nothing; answers of which the journal doesn't say the prompt have none.
WITH paid AS (
    SELECT stage, prompt, prompt_sha256, count(*) AS answers, sum(usd) AS usd FROM paid_answers GROUP BY ALL
), made AS (
    SELECT r.stage, r.prompt, r.prompt_sha256, count(*) AS candidates, count(j.correct) AS judged, count(*) FILTER (j.correct) AS correct,
        avg(j.iou) AS iou, stddev_samp(j.iou) AS iou_deviation, count(j.iou) AS looked, count(*) FILTER (j.kept) AS kept
    FROM (SELECT DISTINCT candidate, stage, prompt, prompt_sha256 FROM candidate_requests) r
        JOIN judged_candidates j ON j.candidate = r.candidate
    GROUP BY ALL
)
SELECT p.stage, p.prompt, p.prompt_sha256[:12] AS digest, p.answers, round(p.usd, 4) AS usd, m.candidates,
    round(m.correct / nullif(m.judged, 0), 4) AS "right", wilson(m.correct, m.judged)[1] AS right_low,
    wilson(m.correct, m.judged)[2] AS right_high, round(m.iou, 4) AS iou,
    mean_interval(m.iou, m.iou_deviation, m.looked)[1] AS iou_low, mean_interval(m.iou, m.iou_deviation, m.looked)[2] AS iou_high,
    m.kept, round(m.kept / m.candidates, 4) AS kept_share, wilson(m.kept, m.candidates)[1] AS kept_low,
    wilson(m.kept, m.candidates)[2] AS kept_high, round(p.usd / nullif(m.kept, 0), 6) AS usd_per_kept
FROM paid p LEFT JOIN made m ON m.stage IS NOT DISTINCT FROM p.stage AND m.prompt IS NOT DISTINCT FROM p.prompt
    AND m.prompt_sha256 IS NOT DISTINCT FROM p.prompt_sha256
ORDER BY p.usd DESC NULLS LAST, p.stage, p.prompt, p.prompt_sha256
