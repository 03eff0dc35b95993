-- Move ready entries of a queue that are scored for the other order, some of them: those first that come out first then.
-- ARGV from 5: the queue, '1' for newest first, how many at most, the hash of orders, whether this is the last of the
-- queue's lines to be looked at, then the lines: keys of lanes, and of the queue itself.
-- Returns how many may be left to move before there are too many for one run; 0: call again.
-- A line's scores have two halves in each priority, for oldest and for newest first; what is in the other one is
-- reflected. Somebody who has learned of another order meanwhile is left to it.
local queue, newest, left, orders = ARGV[5], ARGV[6] == '1', tonumber(ARGV[7]), ARGV[8]
local half = step / 2
if (redis.call('HGET', orders, queue) or '0') ~= ARGV[6] then
  return left
end

local function reflected(member, score, base)
  local place = base + base + step - 1 - score
  if string.sub(member, 1, 1) == '|' then
    local first = redis.call('ZRANGE', lane .. queue .. '\n' .. string.sub(member, 2), 0, 0, 'WITHSCORES')[2]
    if first and is_mirrored(tonumber(first)) == newest then
      place = tonumber(first)
    end
  end
  return place
end

local function turn(line)
  local base = 0
  while left > 0 do
    local first = redis.call('ZRANGEBYSCORE', line, exact(base), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if not first[2] then
      return
    end
    base = math.floor(first[2] / step) * step
    local from = newest and base or base + half
    local wrong = redis.call('ZREVRANGEBYSCORE', line, exact(from + half - 1), exact(from), 'WITHSCORES', 'LIMIT', 0, left)
    local moving = {}
    for i = 1, #wrong, 2 do
      moving[i], moving[i + 1] = exact(reflected(wrong[i], tonumber(wrong[i + 1]), base)), wrong[i]
    end
    if #moving > 0 then
      redis.call('ZADD', line, unpack(moving))
    end
    left = left - #wrong / 2
    base = base + step
  end
end

for i = 10, #ARGV do
  turn(ARGV[i])
end
if left > 0 and not newest and ARGV[9] == '1' then
  redis.call('HDEL', orders, queue)
end
return left
