-- What the ledger knows of definitions, for whoever writes one.

-- name: list_registered
-- Every code of every saga that was ever registered: the steps that its newest snapshot has, and how many unfinished orders
-- are on it.
select d.saga, d.version, d.fingerprint, (array_agg(d.steps order by d.created_at desc))[1] as steps,
    coalesce(sum(l.orders), 0)::bigint as unfinished
from (select definition_id, saga, version, fingerprint, created_at,
          jsonb_path_query_array(body, '$.steps[*].name') as steps
      from saga_definition) d
    left join (select definition_id, count(*) as orders from order_ledger where finished_at is null
               group by definition_id) l using (definition_id)
group by d.saga, d.version, d.fingerprint
order by d.saga, d.version;
