-- The interval of 95 % in which a share lies, by Wilson: its low and its high end; NULL where nothing was counted.
CREATE OR REPLACE TEMP MACRO wilson(hits, counted) AS list_transform([-1, 1], lambda side: round(
    (hits + 1.920729 + side * 1.959964 * sqrt(hits * (counted - hits) / nullif(counted, 0) + 0.960365)) / (counted + 3.841459), 4))
