-- What did each teacher cost, and what is a kept sample of its worth? All its answers count, also those that came to nothing.
WITH asked AS (
    SELECT a.model, count(*) AS answers, count(*) FILTER (a.input_tokens IS NULL OR a.output_tokens IS NULL) AS uncounted,
        coalesce(sum(a.input_tokens), 0)::BIGINT AS input_tokens, coalesce(sum(a.output_tokens), 0)::BIGINT AS output_tokens,
        sum(a.usd) AS usd
    FROM paid_answers a
    GROUP BY a.model
), written AS (
    SELECT c.teacher AS model, count(*) AS candidates, count(s.id) AS kept
    FROM candidates c LEFT JOIN samples s ON s.candidate = c.id
    GROUP BY c.teacher
)
SELECT a.model, a.answers, a.uncounted, a.input_tokens, a.output_tokens, round(a.usd, 4) AS usd, w.candidates, w.kept,
    round(w.kept / w.candidates, 3) AS kept_share, round(a.usd / nullif(w.kept, 0), 6) AS usd_per_kept
FROM asked a LEFT JOIN written w ON w.model = a.model
ORDER BY a.usd DESC NULLS LAST, a.model
