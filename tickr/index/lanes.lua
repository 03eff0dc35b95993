-- What every script of the index begins with. A *lane* holds the ready jobs of one key in one queue; its *turn*, "|key",
-- stands in the queue's line for all of them, or, when the lane is held, among what waits.
-- In the upper half of the scores of a priority the newest is first.
-- KEYS[1] waiting. ARGV: what comes before the queue in a ready key, and before queue and key in a lane's; the set of
-- lanes that are not empty; weight of one priority in a ready score.
local waiting, ready, lane, lanes, step = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local function exact(score)
  return string.format('%.0f', score)
end

local function is_mirrored(score)
  return score % step >= step / 2
end

local function held(queue, key)
  return queue .. '|0|\n' .. key
end

local function is_held(queue, key)
  return redis.call('ZSCORE', waiting, held(queue, key))
end

-- Put a lane's turn at the end of what is as urgent as its first job; forget a lane that is empty.
local function line_up(queue, key)
  local first = redis.call('ZRANGE', lane .. queue .. '\n' .. key, 0, 0, 'WITHSCORES')
  if not first[2] then
    redis.call('SREM', lanes, queue .. '\n' .. key)
    return
  end
  local score, priority = tonumber(first[2]), math.floor(first[2] / step)
  local bounds = {exact(priority * step + step - 1), exact(priority * step)}
  local last = redis.call('ZREVRANGEBYSCORE', ready .. queue, bounds[1], bounds[2], 'WITHSCORES', 'LIMIT', 0, 1)
  if last[2] then
    score = math.min(math.max(score, last[2] + 1), priority * step + step - 1)
  end
  redis.call('ZADD', ready .. queue, exact(score), '|' .. key)
end

-- Put a ready job into its lane. The lane's turn stays where it is, unless the job is more urgent than all before it,
-- or newer where the newest is first.
local function enter(queue, key, score, id)
  redis.call('ZADD', lane .. queue .. '\n' .. key, exact(score), id)
  redis.call('SADD', lanes, queue .. '\n' .. key)
  if is_held(queue, key) then
    return
  end
  local stands = redis.call('ZSCORE', ready .. queue, '|' .. key)
  local is_newer = stands and is_mirrored(score) and score < tonumber(stands)
  if not stands or is_newer or math.floor(stands / step) > math.floor(score / step) then
    redis.call('ZADD', ready .. queue, exact(score), '|' .. key)
  end
end
