-- Which twenty videos cost the most in answers, and what came of them?
WITH paid AS (
    SELECT a.video, count(*) AS answers, coalesce(sum(a.input_tokens), 0)::BIGINT AS input_tokens,
        coalesce(sum(a.output_tokens), 0)::BIGINT AS output_tokens,
        sum(a.usd) AS usd
    FROM paid_answers a
    WHERE a.video IS NOT NULL
    GROUP BY a.video
    ORDER BY usd DESC NULLS LAST, sum(coalesce(a.input_tokens, 0) + coalesce(a.output_tokens, 0)) DESC, a.video
    LIMIT 20
)
SELECT d.video, v.source, v.source_id, round(v.duration_cs / 100, 2) AS duration_s, d.answers, d.input_tokens, d.output_tokens,
    round(d.usd, 4) AS usd, (SELECT count(*) FROM candidates c WHERE c.video = d.video) AS candidates,
    (SELECT count(*) FROM samples s WHERE s.video = d.video) AS kept
FROM paid d LEFT JOIN videos v ON v.id = d.video
ORDER BY d.usd DESC NULLS LAST, d.input_tokens + d.output_tokens DESC, d.video
