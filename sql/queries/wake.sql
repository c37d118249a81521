-- How orchestrators are woken. Nobody depends on it: the poll finds what no notification told of.

-- name: listen
-- Two channels on a session of its own: work, and the listener's own probes.
listen order_events; listen order_events_probe;

-- name: probe
-- A notification to the listener, told apart by its token: when it does not come the listener is deaf. Together with what
-- `measure_queue` tells, of before: notifications are put into the queue with the commit.
select pg_notification_queue_usage() as usage, pg_notify('order_events_probe', %(token)s);

-- name: measure_queue
-- Share of the notification queue that is in use, from 0 to 1. Looking is also the cure of a queue that was filled by a
-- session which is gone: it moves the queue's tail on, which nothing else does in time (PostgreSQL 13 to 18).
select pg_notification_queue_usage() as usage;

-- name: tell_session
-- What a session is called from now on, where people and `list_orchestrators` see it. Nothing is written.
select set_config('application_name', %(name)s::text, false);
