"""What must not harm a run, done to it: kills, lost machines, full disks, spoilt bytes, hostile servers."""
