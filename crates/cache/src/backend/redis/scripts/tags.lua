-- Stamps tags (ARGV[8] and on), under a fence (ARGV[4] name, [5] token, [6] most fences), by a version above ARGV[7]. A tag that no entry carries needs no
-- stamp; `l` tells leases that were given before.
local refused = fenced(ARGV[4], ARGV[5], tonumber(ARGV[6]))
if refused then return refused end
open()
local version = version_above(ARGV[7])
for at = 8, #ARGV do
  redis.call('SET', p .. 't:' .. ARGV[at], version, 'XX', 'KEEPTTL')
end
redis.call('HSET', p .. 'n', 'l', version)
raise(ARGV[4], ARGV[5])
return {now, 'ok', version}
