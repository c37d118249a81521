-- Operators see which orchestrators are connected, which of them listen, and what those tell of themselves in their session's name.
-- depends: 0019.let-orders-be-paused

-- As with `count_orchestrators`: sessions of other users show their names only to whom the server trusts with that. One row a
-- replica, however many sessions it has, and one a session that listens.
create function list_orchestrators() returns table (application_name text, since timestamptz)
    language sql stable security definer set search_path = pg_catalog, pg_temp as
$$ select a.application_name, min(a.backend_start) from pg_stat_activity a
   where a.datname = current_database()
       and (a.application_name like 'saga orchestrator %' or a.application_name like 'saga listener%')
   group by a.application_name, case when a.application_name like 'saga listener%' then a.pid end $$;
revoke execute on function list_orchestrators() from public;
grant execute on function list_orchestrators() to sagaledger_auditor, sagaledger_edge, sagaledger_orchestrator;
