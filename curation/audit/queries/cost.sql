-- What did each teacher cost, and what is a kept sample of its worth? All its answers count, also those that came to nothing.
WITH asked AS (
    SELECT a.model, count(*) AS answers, sum(a.input_tokens)::BIGINT AS input_tokens, sum(a.output_tokens)::BIGINT AS output_tokens,
        sum(a.input_tokens * p.input_usd + a.output_tokens * p.output_usd) / 1e6 AS usd
    FROM answers a LEFT JOIN prices p ON p.model = a.model
    GROUP BY a.model
), written AS (
    SELECT c.teacher AS model, count(*) AS candidates, count(s.id) AS kept
    FROM candidates c LEFT JOIN samples s ON s.candidate = c.id
    GROUP BY c.teacher
)
SELECT a.model, a.answers, a.input_tokens, a.output_tokens, round(a.usd, 4) AS usd, w.candidates, w.kept,
    round(w.kept / w.candidates, 3) AS kept_share, round(a.usd / nullif(w.kept, 0), 6) AS usd_per_kept
FROM asked a LEFT JOIN written w ON w.model = a.model
ORDER BY a.usd DESC NULLS LAST, a.model
