-- Makes a record where there is none. KEYS: record, free. ARGV[2] tenant/name, [3] stamp, [4] text, [5] when it is forgotten.
if redis.call('EXISTS', KEYS[1]) == 0 then make(KEYS[1], KEYS[2], ARGV[2], ARGV[3], ARGV[4], ARGV[5]) end
return 1
