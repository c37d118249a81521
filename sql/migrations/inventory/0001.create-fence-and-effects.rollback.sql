drop table effect;
drop table fence;
drop function refuse_change();
