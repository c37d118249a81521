alter table participant_breaker drop column calls, drop column failures, drop column recent;
alter table participant_breaker
    add column calls integer not null default 0 check (calls >= 0),
    add column failures integer not null default 0 check (failures >= 0);
