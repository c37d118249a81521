drop trigger fence_is_kept on fence;
drop function refuse_removal();
