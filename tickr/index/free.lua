-- Free lanes that are held. ARGV from 5: queue and key of each.
for i = 5, #ARGV, 2 do
  local queue, key = ARGV[i], ARGV[i + 1]
  if redis.call('ZREM', waiting, held(queue, key)) == 1 then
    line_up(queue, key)
  end
end
