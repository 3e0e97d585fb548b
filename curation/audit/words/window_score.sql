-- How well a span meets the windows of a task: IoU with the best of them, or, where all are needed, with all together (none overlap).
CREATE OR REPLACE TEMP MACRO window_score(windows, needs, start_cs, end_cs) AS CASE
    WHEN needs = 'all' THEN
        list_sum(list_transform(windows, lambda w: greatest(0, least(w.end_cs, end_cs) - greatest(w.start_cs, start_cs))))
        / (end_cs - start_cs + list_sum(list_transform(windows, lambda w:
            w.end_cs - w.start_cs - greatest(0, least(w.end_cs, end_cs) - greatest(w.start_cs, start_cs)))))
    ELSE list_max(list_transform(windows, lambda w: greatest(0, least(w.end_cs, end_cs) - greatest(w.start_cs, start_cs))
        / (w.end_cs - w.start_cs + end_cs - start_cs - greatest(0, least(w.end_cs, end_cs) - greatest(w.start_cs, start_cs)))))
END
