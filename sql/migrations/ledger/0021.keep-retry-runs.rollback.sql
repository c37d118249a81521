drop function forget_retried(interval, integer);
drop table retry_run_order;
drop table retry_run;
