-- What the namespace holds, and up to ARGV[4] of its entries at random.
local numbers = redis.call('HMGET', p .. 'n', 'b', 'e')
local found = {now, redis.call('ZCARD', p .. 'k'), numbers[1] or '0', numbers[2] or '0'}
if found[2] > 0 then
  for _, key in ipairs(redis.call('ZRANDMEMBER', p .. 'k', ARGV[4])) do
    local e = look(key)
    if e then found[#found + 1] = {redis.call('STRLEN', p .. 'e:' .. key) - e.len, e.expires} end
  end
end
return found
