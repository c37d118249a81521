alter table notification drop column reference;
