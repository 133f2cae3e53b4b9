-- Makes everything of the namespace gone, under a fence (ARGV[4] name, [5] token, [6] most fences), by a version above
-- ARGV[7]. What it leaves in memory is removed by `reap`.
local refused = fenced(ARGV[4], ARGV[5], tonumber(ARGV[6]))
if refused then return refused end
clear = version_above(ARGV[7])
redis.call('SET', p .. 'c', clear)
if redis.call('EXISTS', p .. 'k') == 1 then
  if redis.call('EXISTS', p .. 'd') == 1 then
    redis.call('ZUNIONSTORE', p .. 'd', 2, p .. 'd', p .. 'k')
    redis.call('UNLINK', p .. 'k')
  else
    redis.call('RENAME', p .. 'k', p .. 'd')
  end
end
redis.call('UNLINK', p .. 'x', p .. 's', p .. 'q')
redis.call('HDEL', p .. 'n', 'b')
raise(ARGV[4], ARGV[5])
return {now, 'ok', clear}
