-- Move what is due from waiting to ready, lowest score first: jobs, and the turns of lanes that were held.
-- ARGV from 5: now (µs), limit, unit of a ready score (µs), the hash of orders.
-- Returns how many were moved and the score (µs) of the first that still waits, or false.
local due = redis.call('ZRANGEBYSCORE', waiting, '-inf', ARGV[5], 'WITHSCORES', 'LIMIT', 0, ARGV[6])
local adding, turns, newest = {}, {}, {}
local orders = redis.call('HGETALL', ARGV[8])
for i = 1, #orders, 2 do
  newest[orders[i]] = orders[i + 1] == '1'
end
for i = 1, #due, 2 do
  local queue, priority, id, key = string.match(due[i], '^([^\n]*)|(%d+)|([^|\n]*)\n?(.*)$')
  local tick = math.ceil(due[i + 1] / ARGV[7])
  local score = queue and priority * step + (newest[queue] and step - 1 - tick or tick)
  if queue and id == '' then
    turns[#turns + 1] = {queue, key}
  elseif queue and key ~= '' then
    enter(queue, key, score, id)
  elseif queue then
    local add = adding[queue]
    if not add then
      add = {'ZADD', ready .. queue}
      adding[queue] = add
    end
    add[#add + 1] = exact(score)
    add[#add + 1] = id
  end
end
for _, add in pairs(adding) do
  redis.call(unpack(add))
end
local moved = #due / 2
if moved > 0 then
  redis.call('ZREMRANGEBYRANK', waiting, 0, moved - 1)
end
for _, turn in ipairs(turns) do
  line_up(turn[1], turn[2])
end
local first = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')
return {moved, first[2] or false}
