-- Forgets records that were free until an instant. KEYS: free. ARGV[2] what the keys of records begin with, [3] what the keys of
-- the listed ones of each tenant begin with, [4] the instant, [5] how many.
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[4], 'LIMIT', 0, ARGV[5])
for _, member in ipairs(due) do
  local tenant, name = string.match(member, '^([^/]*)/(.*)$')
  redis.call('UNLINK', ARGV[2] .. member)
  redis.call('ZREM', ARGV[3] .. tenant, name)
  redis.call('ZREM', KEYS[1], member)
end
return #due
