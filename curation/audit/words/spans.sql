-- Windows as people write them: `12.00 - 20.00, 31.50 - 33.00`.
CREATE OR REPLACE TEMP MACRO spans(windows) AS array_to_string(
    list_transform(windows, lambda w: printf('%.2f - %.2f', w.start_cs / 100, w.end_cs / 100)), ', ')
