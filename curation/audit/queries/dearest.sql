-- Which twenty videos cost the most in answers, and what came of them?
WITH paid AS (
    SELECT a.video, count(*) AS answers, sum(a.input_tokens)::BIGINT AS input_tokens, sum(a.output_tokens)::BIGINT AS output_tokens,
        sum(a.input_tokens * p.input_usd + a.output_tokens * p.output_usd) / 1e6 AS usd
    FROM answers a LEFT JOIN prices p ON p.model = a.model
    GROUP BY a.video
    ORDER BY usd DESC NULLS LAST, sum(a.input_tokens + a.output_tokens) DESC, a.video
    LIMIT 20
)
SELECT d.video, v.source, v.source_id, round(v.duration_cs / 100, 2) AS duration_s, d.answers, d.input_tokens, d.output_tokens,
    round(d.usd, 4) AS usd, (SELECT count(*) FROM candidates c WHERE c.video = d.video) AS candidates,
    (SELECT count(*) FROM samples s WHERE s.video = d.video) AS kept
FROM paid d LEFT JOIN videos v ON v.id = d.video
ORDER BY d.usd DESC NULLS LAST, d.input_tokens + d.output_tokens DESC, d.video
