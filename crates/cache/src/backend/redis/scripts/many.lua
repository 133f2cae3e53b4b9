-- Entries as they are stored, where they are small enough to be read together: KEYS[1] is the beginning of every key of the
-- namespace, ARGV[2] the most bytes; the keys follow. Answers the last version given, the line of the last clear with the
-- entries, and the time; nil where there is more.
local p, names, bytes = KEYS[1], {KEYS[1] .. 'c'}, 0
for at = 3, #ARGV do
  local name = p .. 'e:' .. ARGV[at]
  names[at - 1] = name
  bytes = bytes + redis.call('STRLEN', name)
end
if bytes > tonumber(ARGV[2]) then return false end
return {redis.call('HGET', p .. 'n', 'v'), redis.call('MGET', unpack(names)), redis.call('TIME')}
