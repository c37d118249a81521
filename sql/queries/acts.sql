-- What operators do that is about no order: with keys, webhooks and participants. Append-only.

-- name: insert_act
-- Who did what, with what, and why.
insert into operator_act (actor, act, subject, reason, details)
values (%(actor)s, %(act)s, %(subject)s, %(reason)s, %(details)s::jsonb);

-- name: list_acts
-- The newest first, of one subject or of all.
select at, actor, act, subject, reason, details
from operator_act
where %(subject)s::text is null or subject = %(subject)s::text
order by act_id desc
limit %(limit)s;
