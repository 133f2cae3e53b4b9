-- The name of the reign of this primary: another one after every failover, promotion and restart, whatever process it is.
local function ruling()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
end

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Makes a record that nobody holds: KEYS record, free. It is forgotten when it stays so.
local function make(record, free, member, stamp, text, forgotten_at)
  redis.call('HSET', record, 'stamp', stamp, 'record', text, 'token', '0', 'flags', '000')
  redis.call('ZADD', free, forgotten_at, member)
end
