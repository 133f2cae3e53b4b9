-- Reads records by name. KEYS: the names in order. ARGV[2] what the keys of their records begin with, [3] and [4] from and to
-- which name, [5] how many.
local found = {now_ms()}
for _, name in ipairs(redis.call('ZRANGEBYLEX', KEYS[1], ARGV[3], ARGV[4], 'LIMIT', 0, ARGV[5])) do
  local record = redis.call('HMGET', ARGV[2] .. name, 'stamp', 'record')
  if record[1] then
    found[#found + 1] = name
    found[#found + 1] = record[1]
    found[#found + 1] = record[2]
  end
end
return found
