-- Put ready jobs into their lanes. ARGV from 5: queue, key, score, id, of each.
for i = 5, #ARGV, 4 do
  enter(ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3])
end
