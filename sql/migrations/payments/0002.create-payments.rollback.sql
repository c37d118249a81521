drop table payment;
