-- What all scripts share. KEYS[1] is the beginning of every key of the namespace. ARGV[1] is the server's run_id, ARGV[2] the
-- time in milliseconds or '' for the server's own, ARGV[3] how many milliseconds a key outlives its entry.
-- 64-bit numbers (versions, tokens, counters) stay text: Lua's numbers are doubles. Times fit into a double.
local p, run, grace = KEYS[1], ARGV[1], tonumber(ARGV[3])
local clock = redis.call('TIME')
local micros = tonumber(clock[2])
local now = tonumber(ARGV[2]) or (tonumber(clock[1]) * 1000 + math.floor(micros / 1000))
-- Entries up to this version are gone. Missing: nothing that is here counts.
local clear = redis.call('GET', p .. 'c')
local counted = false

-- A number that was never given before: above all earlier ones, also when the counter was lost (it begins at the time in
-- nanoseconds) and when another process answers, which may have lost the last ones (it is raised to that).
local function next_version()
  if not counted then
    local stored = redis.call('HMGET', p .. 'n', 'v', 'r')
    if not stored[1] or stored[2] ~= run then
      local seed = clock[1] .. string.format('%06d', micros) .. '000'
      if stored[1] and stored[1] > seed then seed = stored[1] end
      redis.call('HSET', p .. 'n', 'v', seed, 'r', run)
    end
    counted = true
  end
  redis.call('HINCRBY', p .. 'n', 'v', 1)
  return redis.call('HGET', p .. 'n', 'v')
end

-- The same, and above a number that another partition has given ('' for none).
local function version_above(other)
  local version = next_version()
  if other ~= '' and version <= other then
    redis.call('HSET', p .. 'n', 'v', other)
    version = next_version()
  end
  return version
end

-- Makes the namespace one that can hold something.
local function open()
  if not clear then
    clear = next_version()
    redis.call('SET', p .. 'c', clear)
  end
end

-- The head of a stored entry: see entry.rs for its fields.
local function parse(h)
  return {
    version = h:sub(2, 20), expires = tonumber(h:sub(21, 34)), limit = tonumber(h:sub(35, 48)),
    idle = tonumber(h:sub(49, 62)), created = tonumber(h:sub(63, 76)), fresh = tonumber(h:sub(77, 90)),
    flags = h:sub(91, 100), kind = h:sub(101, 101), enc = h:sub(102, 102), ct = h:sub(103, 105),
    nt = h:sub(106, 107), len = tonumber(h:sub(108, 112)), tail = h:sub(113, tonumber(h:sub(108, 112))),
  }
end

local function head(e)
  return '1' .. e.version .. string.format('%014d%014d%014d%014d%014d', e.expires, e.limit, e.idle, e.created, e.fresh)
    .. e.flags .. e.kind .. e.enc .. e.ct .. e.nt .. string.format('%05d', 112 + #e.tail) .. e.tail
end

local function tags_of(e)
  local found, at = {}, tonumber(e.ct) + 1
  for _ = 1, tonumber(e.nt) do
    local len = tonumber(e.tail:sub(at, at + 2))
    found[#found + 1] = e.tail:sub(at + 3, at + 2 + len)
    at = at + 3 + len
  end
  return found
end

local function alive(e)
  if not clear or e.version <= clear then return false end
  if e.expires > 0 and e.expires <= now then return false end
  for _, tag in ipairs(tags_of(e)) do
    local stamp = redis.call('GET', p .. 't:' .. tag)
    if not stamp or stamp >= e.version then return false end
  end
  return true
end

-- The head of what is alive under a key.
local function look(key)
  local h = redis.call('GETRANGE', p .. 'e:' .. key, 0, 511)
  if #h < 112 then return nil end
  local len = tonumber(h:sub(108, 112))
  if len > #h then h = redis.call('GETRANGE', p .. 'e:' .. key, 0, len - 1) end
  local e = parse(h)
  if alive(e) then return e end
  return nil
end

-- Removes an entry and its rows in the books.
local function remove(key)
  redis.call('UNLINK', p .. 'e:' .. key)
  local bytes = redis.call('HGET', p .. 's', key)
  if bytes then
    redis.call('HDEL', p .. 's', key)
    redis.call('HINCRBY', p .. 'n', 'b', '-' .. bytes)
  end
  redis.call('ZREM', p .. 'k', key)
  redis.call('ZREM', p .. 'x', key)
end

-- Removes what expired, and what a clear left.
local function reap(most)
  local due = redis.call('ZRANGEBYSCORE', p .. 'x', '-inf', now, 'LIMIT', 0, most)
  for _, key in ipairs(due) do remove(key) end
  if #due > 0 then redis.call('HINCRBY', p .. 'n', 'e', #due) end
  local left = redis.call('ZRANGE', p .. 'd', 0, most - 1)
  for _, key in ipairs(left) do
    local version = redis.call('GETRANGE', p .. 'e:' .. key, 1, 19)
    if clear and version <= clear then redis.call('UNLINK', p .. 'e:' .. key) end
  end
  if #left > 0 then redis.call('ZREMRANGEBYRANK', p .. 'd', 0, #left - 1) end
  return #due + #left
end

local function end_lease(key)
  if redis.call('DEL', p .. 'l:' .. key) == 1 then redis.call('ZREM', p .. 'q', key) end
end

-- The token and the end of the lease that is open on a key.
local function lease_of(key)
  local lease = redis.call('GET', p .. 'l:' .. key)
  if not lease or not clear then return nil end
  local token, ends = lease:sub(1, 19), tonumber(lease:sub(20))
  if token <= clear or ends <= now then return nil end
  return token, ends
end

-- Judges a fence by the highest token seen. Errors: what to answer.
local function fenced(name, token, most)
  if name == '' then return nil end
  local highest = redis.call('HGET', p .. 'f', name)
  if highest and token < highest then return {now, 'fence', highest} end
  if not highest and redis.call('HLEN', p .. 'f') >= most then return {now, 'fences'} end
  return nil
end

local function raise(name, token)
  if name ~= '' then redis.call('HSET', p .. 'f', name, token) end
end

-- Gives the key of an entry its own expiry and its row among what expires.
local function keep(e, key)
  if e.expires > 0 then
    redis.call('PEXPIRE', p .. 'e:' .. key, math.max(e.expires - now + grace, 1))
    redis.call('ZADD', p .. 'x', e.expires, key)
  else
    redis.call('PERSIST', p .. 'e:' .. key)
    redis.call('ZREM', p .. 'x', key)
  end
end

-- A read of a sliding entry begins its idle time anew.
local function slide(e, key)
  if e.idle == 0 then return end
  local expires = now + e.idle
  if e.limit > 0 and e.limit < expires then expires = e.limit end
  e.expires = expires
  redis.call('SETRANGE', p .. 'e:' .. key, 20, string.format('%014d', expires))
  keep(e, key)
end
