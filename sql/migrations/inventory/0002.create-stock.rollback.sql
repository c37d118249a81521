drop table reservation_line;
drop table reservation;
drop table stock_movement;
drop table stock;
