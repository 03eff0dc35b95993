-- Move what is due from waiting to ready, lowest score first.
-- KEYS[1] waiting. ARGV: now (µs), limit, what comes before the queue in a ready key, weight of one priority, unit of a ready score (µs).
-- Returns how many were moved and the score (µs) of the first that still waits, or false.
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local adding = {}
for i = 1, #due, 2 do
  local queue, priority, id = string.match(due[i], '^(.*)|(%d+)|([^|]*)$')
  if queue then
    local add = adding[queue]
    if not add then
      add = {'ZADD', ARGV[3] .. queue}
      adding[queue] = add
    end
    add[#add + 1] = string.format('%.0f', priority * ARGV[4] + math.ceil(due[i + 1] / ARGV[5]))
    add[#add + 1] = id
  end
end
for _, add in pairs(adding) do
  redis.call(unpack(add))
end
local moved = #due / 2
if moved > 0 then
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, moved - 1)
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {moved, first[2] or false}
