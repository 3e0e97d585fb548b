-- The interval of 95 % in which the mean of shares lies, by its standard error: its low and its high end; NULL for fewer than two.
CREATE OR REPLACE TEMP MACRO mean_interval(mean, deviation, counted) AS list_transform([-1, 1], lambda side:
    round(greatest(0, least(1, mean + side * 1.959964 * deviation / sqrt(counted))), 4))
