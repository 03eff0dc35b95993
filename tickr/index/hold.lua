-- Hold lanes. ARGV from 5: until when (µs), then queue and key of each.
for i = 6, #ARGV, 2 do
  local queue, key = ARGV[i], ARGV[i + 1]
  redis.call('ZREM', ready .. queue, '|' .. key)
  if redis.call('EXISTS', lane .. queue .. '\n' .. key) == 1 then
    redis.call('ZADD', waiting, ARGV[5], held(queue, key))
  end
end
