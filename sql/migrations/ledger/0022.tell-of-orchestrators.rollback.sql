drop function list_orchestrators();
