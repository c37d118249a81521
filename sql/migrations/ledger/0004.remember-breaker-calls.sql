-- A breaker judges the last calls, so they stand in the row, oldest first: `.` was answered, `x` ended unclear. The counts
-- follow from them.
-- depends: 0003.add-reading-indexes

alter table participant_breaker drop column calls, drop column failures;
alter table participant_breaker
    add column recent text not null default '' check (recent ~ '^[.x]*$'),
    add column calls integer not null generated always as (length(recent)) stored,
    add column failures integer not null generated always as (length(replace(recent, '.', ''))) stored;
