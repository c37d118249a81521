drop index fence_undo_key;
