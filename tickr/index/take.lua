-- Take jobs from lanes whose turn has come, as many of each, and put their turns at the end of the line.
-- ARGV from 5: the queue, how many jobs in all, how many of each lane at most, the keys. Returns ids and their scores.
local queue, left, most = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local taken = {}
for i = 8, #ARGV do
  local key = ARGV[i]
  local count = math.min(most, math.max(1, math.floor(left / (#ARGV - i + 1))))
  local popped = redis.call('ZPOPMIN', lane .. queue .. '\n' .. key, count)
  for j = 1, #popped do
    taken[#taken + 1] = popped[j]
  end
  left = left - #popped / 2
  if not is_held(queue, key) then
    line_up(queue, key)
  end
end
return taken
