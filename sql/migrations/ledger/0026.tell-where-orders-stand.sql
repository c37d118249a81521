-- The step that people are told of an order: of one that is STUCK a step that could not be undone, where there is one. The column
-- has the step that was tried last, which was undone perhaps; journals of every release replay to it.
-- depends: 0025.index-what-has-begun
create function step_told(status text, step text, progress jsonb) returns text
language sql immutable parallel safe
return case when status = 'STUCK' then coalesce(
        jsonb_path_query_first(progress, '$.steps.keyvalue() ? (@.value.state == "compensation_failed").key') #>> '{}', step)
    else step end;
revoke execute on function step_told(text, text, jsonb) from public;
grant execute on function step_told(text, text, jsonb)
    to sagaledger_auditor, sagaledger_edge, sagaledger_operator, sagaledger_orchestrator;
